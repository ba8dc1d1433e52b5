"""Restore the runs of a study that are missing from MLflow.

Optuna's storage holds the trials, and training them again gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.trainer.result import TrainingResult
from search.blas import one_blas_thread
from search.commands.kept_weights import KeptWeights
from search.commands.report import write_report
from search.commands.session import Session, open_session
from search.commands.study_data import load_data
from search.console import Console, Workload
from search.errors import LockstepError, NothingToShowError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.search_study import SearchStudy
from search.study.storage import check_launched
from search.tracking.names import Weights
from search.tracking.recorders import RunQueue, recorders
from search.tracking.results import read_results
from search.tracking.tracker import Tracker
from search.tracking.trial_writer import TrialRun, features_of
from search.tracking.weights import write_weights
from search.trials.finished_trial import FinishedTrial
from search.trials.repeats import trained
from search.wording import counted

AT_ONCE = 16  # the number of runs whose results are in memory together
CLOSE = 1e-3  # the relative tolerance, because other machines may round differently


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The result of a sync.

    trials: how many trained trials are finished. Those that repeat one of them share its run.
    written: how many runs were written again.
    weights: to how many other runs their weights were given back.
    unlike: the numbers of the trials whose new scores differ from those in Optuna.
    """

    study: str
    trials: int
    written: int
    weights: int
    unlike: list[int]

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)


def sync(
    spec: StudySpec, settings: Settings, console: Console, *, weights: bool = False
) -> SyncReport:
    """Write again the runs that are missing from MLflow, and weights that should be there.

    weights: whether the weights of all trials are made again, also of those that are not kept.

    Raises NothingToShowError if no trial has finished, LockstepError and OSError.
    """
    check_launched(spec.name, settings)
    data = load_data(spec, settings, console.say, reading=console.reading)
    with open_session(spec, data, settings, console) as session:
        finished = {trial.number: trial for trial in trained(session.study.finished())}
        if not finished:
            raise NothingToShowError(
                f"study {spec.name} has no finished trial yet: run "
                f"`lockstep launch {spec.argument}`"
            )
        if not all(map(session.study.is_whole, finished.values())):
            raise LockstepError(
                f"study {spec.name} is being trained for more epochs: run `lockstep launch "
                f"{spec.argument}` to its end first"
            )
        with session.tracker() as tracker:
            kept = KeptWeights(session.spec, data, finished.values())
            missing = _missing(tracker, finished, kept, every=weights)
            lost, bare = missing.lost, missing.bare
            also = f", and {len(bare):,} lack their weights" if bare else ""
            console.say(
                f"Study {spec.name}: {len(lost):,} of {len(finished):,} runs are missing from "
                f"MLflow or incomplete{also}"
            )
            unlike = _write(session, tracker, finished, missing) if lost or bare else []
            _log_finals(session.study, tracker, lost)
            write_report(session.study, tracker, data, settings)
    return SyncReport(spec.name, len(finished), len(lost), len(bare), sorted(unlike))


@dataclass(frozen=True, slots=True)
class _Missing:
    """What a study lacks in MLflow, by the numbers of its trials.

    lost: those whose runs are not there or have no result.
    bare: other ones, whose runs should have weights and do not.
    weights: whether the weights of each trial that is written are kept.
    """

    lost: set[int]
    bare: set[int]
    weights: Mapping[int, Weights]


def _missing(
    tracker: Tracker, finished: Mapping[int, FinishedTrial], kept: KeptWeights, *, every: bool
) -> _Missing:
    """Return what a study lacks; every: whether all runs should have their weights."""
    trials = list(finished.values())
    there = [trial for trial in trials if trial.run_id in tracker.known.active]
    whole: set[int] = set()
    without: set[int] = set()
    for start in range(0, len(there), AT_ONCE):
        block = there[start : start + AT_ONCE]
        for trial, result in zip(block, read_results(tracker, block), strict=True):
            if result is not None:
                (whole if result.by_fold else without).add(trial.number)
    others = Weights.REQUESTED if every else Weights.NOT_KEPT
    weights = {
        trial.number: Weights.KEPT if kept.has(trial) else others for trial in finished.values()
    }
    bare = {number for number in without if weights[number] is not Weights.NOT_KEPT}
    return _Missing(finished.keys() - whole - without, bare, weights)


def _write(
    session: Session, tracker: Tracker, finished: Mapping[int, FinishedTrial], missing: _Missing
) -> list[int]:
    """Train again what is missing and write it; return the numbers of the trials that differ.

    They are trained together with the other trials of their cohorts, as at first, because only then
    are the numbers the same.
    """
    again = missing.lost | missing.bare
    whole = {number: trial for number, trial in finished.items() if number not in again}
    unlike: list[int] = []
    with (
        session.console.progress(Workload(len(finished), None, "runs"), len(whole)) as progress,
        recorders(session.settings, len(missing.lost)) as processes,
        session.training(progress) as training,
        one_blas_thread(),  # The training needs the other cores.
    ):
        queue = RunQueue(processes.opened(tracker, features_of(session.data)))

        def record(ahead: int | None = None) -> None:
            for run, run_id in queue.finished(ahead):
                session.study.record_run(run.trial.number, run_id)
                progress.recorded("")

        for cohort in session.study.cohorts():
            if not any(trial.number in again for trial in cohort):
                continue
            for trial, outcome in training.start(session.cohort(cohort, whole)).outcomes():
                if trial.number not in again:
                    continue
                stored, weights = finished[trial.number], missing.weights[trial.number]
                if not _alike(stored, outcome.result):
                    unlike.append(trial.number)
                if trial.number in missing.bare:
                    write_weights(tracker, stored.run_id, outcome, weights)
                    progress.recorded("")
                else:
                    # A run that is still there but has no result is replaced.
                    there = stored.run_id if stored.run_id in tracker.known.active else None
                    replaces = there or tracker.known.leftovers.get(trial.number)
                    queue.put(TrialRun(trial, outcome, weights, replaces))
                    record()
                if session.stop.made():
                    break
            record(ahead=0)
            session.stop.honour()
    return unlike


def _alike(stored: FinishedTrial, result: TrainingResult) -> bool:
    """Return whether a trial that was trained again equals the stored one, up to rounding."""
    again = FinishedTrial.of(stored.number, result, stored.run_id)
    same = (again.status, again.stopped_epoch) == (stored.status, stored.stopped_epoch)
    return same and bool(
        np.isclose(again.val_loss, stored.val_loss, rtol=CLOSE, atol=0, equal_nan=True)
    )


def _log_finals(study: SearchStudy, tracker: Tracker, lost: Collection[int]) -> None:
    """Log the scores of the finalists on fresh seeds to those of their runs that were lost."""
    finals = study.finals()
    runs = {trial.number: trial.run_id for trial in study.finished()}
    for finalist in finals.finalists if finals else ():
        if finalist.trial in lost:
            tracker.log_values(runs[finalist.trial], metrics=finalist.metrics())


def summary(report: SyncReport, spec: StudySpec) -> str:
    """Return the text for people: how many runs were written again, and which trials differ."""
    lines = [f"{report.written:,} of {report.trials:,} runs were written again"]
    if report.weights:
        lines.append(f"the weights of {counted(report.weights, 'trial')} were made again")
    if report.unlike:
        lines.append(
            f"note     {len(report.unlike):,} trials differ from what Optuna holds, for example "
            f"#{report.unlike[0]}: another machine or NumPy version rounds differently, and "
            "diverging trials amplify the difference"
        )
    return "\n".join([*lines, f"next     lockstep compare {spec.argument}"])
