"""The loop of a launch: train cohorts, write their results to MLflow and then to Optuna."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from search.blas import one_blas_thread
from search.commands.commits import Commits
from search.commands.session import Session
from search.tracking.results import present
from search.tracking.tracker import Tracker
from search.training.cohort import CohortRun, Training
from search.trials.finals import fresh_seeds, judged
from search.trials.finished_trial import FinishedTrial
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

    seconds: the time spent, which is kept up to date.
    """

    def __init__(self, session: Session, training: Training, commits: Commits) -> None:
        self.seconds = Seconds()
        self._session = session
        self._training = training
        self._commits = commits
        self._run: CohortRun | None = None
        self._started = 0.0

    def start(self, trials: Sequence[PlannedTrial]) -> None:
        """Start to train a cohort; do nothing if it has no trials."""
        self._started = time.perf_counter()
        cohort = self._session.cohort(trials, self._commits.finished) if trials else None
        self._run = None if cohort is None else self._training.start(cohort)

    def record_all(self, tracker: Tracker) -> None:
        """Record the cohort that was started, then train and record the ones that follow.

        At the end, judge the finalists. Raises InterruptedStudyError if the user asks to stop.
        """
        with one_blas_thread():  # The training needs the other cores.
            self._record_cohorts()
        self.seconds.logging += self._commits.seconds
        if finalists := self._session.study.finalists_due():
            self._judge(tracker, finalists)

    def _record_cohorts(self) -> None:
        """Record the cohort that was started, then train and record the ones that follow."""
        study, stop, commits = self._session.study, self._session.stop, self._commits
        while (run := self._run) is not None:
            for trial, outcome in run.outcomes():
                commits.add(trial, outcome)
                if stop.made():
                    break
            commits.commit_all()
            stop.honour()
            self.seconds.training += run.seconds
            study.add_minutes((time.perf_counter() - self._started) / 60)
            cohort = study.next_cohort()
            commits.recount()
            self.start(cohort)

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
