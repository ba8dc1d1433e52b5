"""The loop of a launch: cohorts are trained, their results go to MLflow and then to Optuna."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.datasets.dataset import Splits
from core.trainer.pruning import Schedule
from core.trainer.training_data import TrainingData
from search.console import Progress
from search.settings import Settings
from search.study.search_study import SearchStudy
from search.tracking.links import run_url
from search.tracking.results import present
from search.tracking.tracker import Tracker
from search.training.cohort import CohortTraining
from search.training.processes import Executor
from search.training.stacks import PlannedTrial
from search.trials.finals import fresh_seeds, judged
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.outcome import Outcome


@dataclass(slots=True)
class Seconds:
    """Wall time: in all; until the last stack was trained, over all cohorts; spent by the driver
    on recording, which overlaps with training."""

    total: float = 0.0
    training: float = 0.0
    logging: float = 0.0


@dataclass(slots=True)
class Driver:
    """check: raises where the user wants to stop. finished: by number, kept up to date."""

    study: SearchStudy
    settings: Settings
    data: Splits
    training: TrainingData
    executor: Executor
    progress: Progress
    check: Callable[[], None]
    seconds: Seconds
    finished: dict[int, FinishedTrial]
    _best: list[FinishedTrial] = field(init=False)  # so far, at most one
    _cohort: CohortTraining | None = None
    _started: float = 0.0

    def __post_init__(self) -> None:
        self._best = ranked(self.finished.values(), self.study.spec.search.objective)[:1]

    def start(self, trials: list[PlannedTrial]) -> None:
        """Start to train a cohort, if there is one."""
        self._cohort = None
        if not trials:
            return
        self._started = time.perf_counter()
        model, search = self.study.spec.model, self.study.spec.search
        seeds = [model.seed + r for r in range(search.replicates)]
        recorded = {
            trial.number: self.finished[trial.number]
            for trial in trials
            if trial.number in self.finished
        }
        self._cohort = self._training(trials, self.study.schedule(trials), seeds, recorded)

    def _training(
        self,
        trials: list[PlannedTrial],
        schedule: Schedule,
        seeds: list[int],
        recorded: Mapping[int, FinishedTrial] | None = None,
    ) -> CohortTraining:
        return CohortTraining(
            trials=trials,
            schedule=schedule,
            recorded=recorded or {},
            seeds=seeds,
            penalty=self.study.spec.model.penalty,
            objective=self.study.spec.search.objective,
            data=self.training,
            executor=self.executor,
            tick=self._tick,
            repeat=self.progress.repeated,
        )

    def run(self, tracker: Tracker) -> None:
        """Record the cohort that was started, and then one after the other."""
        while (cohort := self._cohort) is not None:
            for trial, outcome in cohort.outcomes():
                self._record(tracker, trial, outcome)
            self.seconds.training += cohort.training_seconds
            self.study.add_minutes((time.perf_counter() - self._started) / 60)
            self.start(self.study.next_cohort())
        if finalists := self.study.finalists_due():
            self._judge(tracker, finalists)

    def _judge(self, tracker: Tracker, finalists: list[FinishedTrial]) -> None:
        """Train the best again, on seeds that they were not chosen by."""
        spec = self.study.spec
        trials = [PlannedTrial(each.number, each.hyperparameters) for each in finalists]
        full = Schedule((spec.model.epochs,), spec.search.eta, {})
        seeds = fresh_seeds(spec)
        training = self._training(trials, full, seeds)
        outcomes = {trial.number: outcome for trial, outcome in training.outcomes()}
        self.seconds.training += training.training_seconds
        clock = time.perf_counter()
        finals = judged(finalists, outcomes, spec.search.objective, seeds)
        scores = {each.trial: each.metrics() for each in finals.finalists}
        for trial in present(tracker, finalists, len(finalists)):
            tracker.log_values(trial.run_id, metrics=scores[trial.number])
        self.study.record_finalists(finals)
        self.seconds.logging += time.perf_counter() - clock

    def _tick(self, trained: int) -> None:
        self.progress.trained(trained)
        self.check()

    def _record(self, tracker: Tracker, trial: PlannedTrial, outcome: Outcome) -> None:
        """MLflow first, then Optuna: recording there is the commit. Killed in between, the trial
        is trained again and its run replaced."""
        clock = time.perf_counter()
        result, spread = outcome.result, outcome.spread
        run_id = tracker.log_trial(self.study.spec, trial, result, self.data, spread)
        recorded = FinishedTrial.of(trial.number, result, run_id, outcome.rungs, spread)
        link = run_url(self.settings.ui_address, tracker.experiment_id, run_id)
        self.study.record(recorded, link)
        self.finished[trial.number] = recorded
        self.seconds.logging += time.perf_counter() - clock
        objective = self.study.spec.search.objective
        self._best = ranked([*self._best, recorded], objective)[:1]
        best = f"{objective} {objective.of(self._best[0]):.4g}" if self._best else ""
        self.progress.recorded(best)
        self.check()
