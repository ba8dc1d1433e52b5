"""Record the trials of a launch: each in MLflow first, then in Optuna, which is the commit."""

from __future__ import annotations

import time
from dataclasses import replace

from search.commands.kept_weights import KeptWeights
from search.console import Progress
from search.settings import Settings
from search.spec.objective import Objective
from search.study.search_study import SearchStudy
from search.tracking.links import run_url
from search.tracking.names import Weights
from search.tracking.recorders import Recorder, RunQueue
from search.tracking.results import present
from search.tracking.tracker import Tracker
from search.tracking.trial_writer import TrialRun
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial


class Commits:
    """The trials of a launch that are being recorded, and those that are.

    Several runs may be written at the same time, but trials are committed in the order in which
    they came. If the driver is killed in between, the trial is trained again and its run is
    replaced. Another trial may then lose its weights to this one.

    finished: the recorded trials, by number. seconds: how long some run was being written.
    """

    def __init__(
        self,
        study: SearchStudy,
        settings: Settings,
        progress: Progress,
        kept: KeptWeights,
    ) -> None:
        self.finished = {trial.number: trial for trial in study.finished()}
        self.seconds = 0.0
        self._study = study
        self._settings = settings
        self._progress = progress
        self._kept = kept
        self._best = ranked(self.finished.values(), self._objective)[:1]
        self._open: tuple[Tracker, RunQueue] | None = None  # what runs are written to
        self._busy_since: float | None = None

    @property
    def _objective(self) -> Objective:
        """What trials are ranked by."""
        return self._study.spec.search.objective

    def open(self, tracker: Tracker, recorder: Recorder) -> None:
        """Say where runs are written, and by what."""
        self._open = tracker, RunQueue(recorder)

    def add(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """Have a trained trial recorded; wait if too many others are waiting for that."""
        assert self._open is not None
        tracker, queue = self._open
        self._busy_since = self._busy_since or time.perf_counter()
        planned = _finished(trial, outcome)
        weights = Weights.KEPT if self._kept.would_have(planned) else Weights.NOT_KEPT
        replaces = tracker.known.leftovers.get(trial.number)
        queue.put(TrialRun(trial, outcome, weights, replaces))
        self.commit_written()

    def commit_written(self, ahead: int | None = None) -> None:
        """Commit the trials whose runs are written; ahead: see `RunQueue.finished`."""
        if self._open is None:
            return
        tracker, queue = self._open
        for run, run_id in queue.finished(ahead):
            self._commit(tracker, run, run_id)
        if queue.is_empty and self._busy_since is not None:
            self.seconds += time.perf_counter() - self._busy_since
            self._busy_since = None

    def commit_all(self) -> None:
        """Wait for all runs that are being written, and commit their trials."""
        self.commit_written(ahead=0)

    def recount(self) -> None:
        """Count the trials that were recorded without a run, because they repeat another one."""
        self.finished = {trial.number: trial for trial in self._study.finished()}
        self._progress.counted(len(self.finished))

    def _commit(self, tracker: Tracker, run: TrialRun, run_id: str) -> None:
        """Record a trial whose run is written."""
        recorded = replace(_finished(run.trial, run.outcome), run_id=run_id)
        link = run_url(self._settings.ui_address, tracker.experiment_id, run_id)
        before = self.finished.get(recorded.number)  # if it was recorded after fewer epochs
        self._study.record(recorded, link)
        if before is not None and present(tracker, [before], 1):
            tracker.delete_run(before.run_id)
        self.finished[recorded.number] = recorded
        self._kept.record(tracker, recorded, run.weights)
        self._best = ranked([*self._best, recorded], self._objective)[:1]
        scored = self._best and f"{self._objective.value} {self._objective.of(self._best[0]):.4g}"
        self._progress.recorded(scored or "")


def _finished(trial: PlannedTrial, outcome: Outcome) -> FinishedTrial:
    """Return what is recorded of a trial, but for the id of its run."""
    return FinishedTrial.of(trial.number, outcome.result, "", outcome.rungs, outcome.spread)
