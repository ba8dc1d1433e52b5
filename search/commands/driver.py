"""The loop of a launch: train cohorts, write their results to MLflow and then to Optuna."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from threadpoolctl import threadpool_limits

from search.commands.kept_weights import KeptWeights
from search.commands.session import Session
from search.console import Progress
from search.tracking.links import run_url
from search.tracking.names import Weights
from search.tracking.results import present
from search.tracking.tracker import Tracker
from search.training.cohort import CohortRun, Training
from search.trials.finals import fresh_seeds, judged
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial


@dataclass(slots=True)
class Seconds:
    """Wall times of a launch, in seconds.

    total: the time of the whole launch.
    training: the time from the start of each cohort until its last stack is trained, summed over
        cohorts.
    logging: the time spent on recording, which overlaps with training.
    """

    total: float = 0.0
    training: float = 0.0
    logging: float = 0.0


class Driver:
    """The driver of a launch, which trains the trials that a study still lacks and records them.

    finished: the recorded trials, by number. seconds: the time spent. Both are kept up to date.
    kept: whose weights are kept.
    """

    def __init__(
        self, session: Session, training: Training, progress: Progress, kept: KeptWeights
    ) -> None:
        self.finished = {trial.number: trial for trial in session.study.finished()}
        self.seconds = Seconds()
        self._session = session
        self._training = training
        self._progress = progress
        self._kept = kept
        self._best = ranked(self.finished.values(), session.spec.search.objective)[:1]
        self._run: CohortRun | None = None
        self._started = 0.0

    def start(self, trials: Sequence[PlannedTrial]) -> None:
        """Start to train a cohort; do nothing if it has no trials."""
        self._started = time.perf_counter()
        cohort = self._session.cohort(trials, self.finished) if trials else None
        self._run = None if cohort is None else self._training.start(cohort)

    def record_all(self, tracker: Tracker) -> None:
        """Record the cohort that was started, then train and record the ones that follow.

        At the end, judge the finalists. Raises InterruptedStudyError if the user asks to stop.
        """
        with threadpool_limits(1):  # The training needs the other cores.
            self._record_cohorts(tracker)
        if finalists := self._session.study.finalists_due():
            self._judge(tracker, finalists)

    def _record_cohorts(self, tracker: Tracker) -> None:
        """Record the cohort that was started, then train and record the ones that follow."""
        study, stop = self._session.study, self._session.stop
        while (run := self._run) is not None:
            for trial, outcome in run.outcomes():
                self._record(tracker, trial, outcome)
                stop.honour()
            stop.honour()
            self.seconds.training += run.seconds
            study.add_minutes((time.perf_counter() - self._started) / 60)
            self.start(self._next_cohort())

    def _next_cohort(self) -> list[PlannedTrial]:
        """Return the next cohort, and count the trials before it that repeat a known one."""
        cohort = self._session.study.next_cohort()
        self.finished = {trial.number: trial for trial in self._session.study.finished()}
        self._progress.counted(len(self.finished))
        return cohort

    def _judge(self, tracker: Tracker, finalists: list[FinishedTrial]) -> None:
        """Train the finalists again with fresh seeds, which did not choose them, and rank them."""
        session = self._session
        trials = [PlannedTrial(each.number, each.hyperparameters) for each in finalists]
        seeds = fresh_seeds(session.spec)
        run = self._training.start(session.full_training(trials, seeds))
        # Their scores are wanted only, and all their weights may not fit in memory.
        outcomes = {trial.number: outcome.without_weights() for trial, outcome in run.outcomes()}
        session.stop.honour()
        self.seconds.training += run.seconds
        clock = time.perf_counter()
        finals = judged(finalists, outcomes, session.spec.search.objective, seeds)
        scores = {each.trial: each.metrics() for each in finals.finalists}
        for trial in present(tracker, finalists, len(finalists)):
            tracker.log_values(trial.run_id, metrics=scores[trial.number])
        session.study.record_finalists(finals)
        self.seconds.logging += time.perf_counter() - clock

    def _record(self, tracker: Tracker, trial: PlannedTrial, outcome: Outcome) -> None:
        """Write a trial to MLflow first, then to Optuna, where recording it is the commit.

        If the process is killed in between, the trial is trained again and its run is replaced.
        Another trial may then lose its weights to this one.
        """
        clock = time.perf_counter()
        session, objective = self._session, self._session.spec.search.objective
        planned = FinishedTrial.of(trial.number, outcome.result, "", outcome.rungs, outcome.spread)
        weights = Weights.KEPT if self._kept.would_have(planned) else Weights.NOT_KEPT
        run_id = tracker.log_trial(trial, outcome, session.data, weights=weights)
        recorded = replace(planned, run_id=run_id)
        link = run_url(session.settings.ui_address, tracker.experiment_id, run_id)
        before = self.finished.get(trial.number)  # if it was recorded after fewer epochs
        session.study.record(recorded, link)
        if before is not None and present(tracker, [before], 1):
            tracker.client.delete_run(before.run_id)
        self.finished[trial.number] = recorded
        self._kept.record(tracker, recorded)
        self.seconds.logging += time.perf_counter() - clock
        self._best = ranked([*self._best, recorded], objective)[:1]
        best = f"{objective.value} {objective.of(self._best[0]):.4g}" if self._best else ""
        self._progress.recorded(best)
