"""Restore the runs of a study that are missing from MLflow.

Optuna's storage holds the trials, and training them again gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.trainer.result import TrainingResult
from search.commands.report import write_report
from search.commands.session import Session, open_session
from search.commands.study_data import load_data
from search.console import Console, Workload
from search.errors import NothingToShowError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.search_study import SearchStudy
from search.study.storage import check_launched
from search.tracking.results import read_results
from search.tracking.tracker import Tracker
from search.trials.finished_trial import FinishedTrial
from search.trials.repeats import trained

CLOSE = 1e-3  # the relative tolerance, because other machines may round differently


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The result of a sync.

    trials: how many trained trials are finished. Those that repeat one of them share its run.
    written: how many runs were written again.
    unlike: the numbers of the trials whose new scores differ from those in Optuna.
    """

    study: str
    trials: int
    written: int
    unlike: list[int]

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)


def sync(spec: StudySpec, settings: Settings, console: Console) -> SyncReport:
    """Write again the runs that are missing from MLflow.

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
        with session.tracker() as tracker:
            lost = _lost(tracker, finished)
            console.say(
                f"Study {spec.name}: {len(lost):,} of {len(finished):,} runs are missing from "
                "MLflow or incomplete"
            )
            unlike = _write(session, tracker, finished, lost) if lost else []
            _log_finals(session.study, tracker, lost)
            write_report(session.study, tracker, data, settings)
    return SyncReport(spec.name, len(finished), len(lost), sorted(unlike))


def _lost(tracker: Tracker, finished: Mapping[int, FinishedTrial]) -> set[int]:
    """Return the numbers of the trials whose runs are not in MLflow or have no weights."""
    trials = list(finished.values())
    there = [trial for trial in trials if trial.run_id in tracker.known.active]
    whole = {
        trial.number
        for trial, result in zip(there, read_results(tracker, there), strict=True)
        if result is not None
    }
    return finished.keys() - whole


def _write(
    session: Session, tracker: Tracker, finished: Mapping[int, FinishedTrial], lost: Collection[int]
) -> list[int]:
    """Train the lost trials again and write their runs; return the numbers of those that differ.

    They are trained together with the other trials of their cohorts, as at first, because only then
    are the numbers the same.
    """
    study = session.study
    whole = {number: trial for number, trial in finished.items() if number not in lost}
    unlike: list[int] = []
    with (
        session.console.progress(Workload(len(finished), None, "runs"), len(whole)) as progress,
        session.training(progress) as training,
    ):
        for cohort in study.cohorts():
            if not any(trial.number in lost for trial in cohort):
                continue
            for trial, outcome in training.start(session.cohort(cohort, whole)).outcomes():
                if trial.number not in lost:
                    continue
                stored = finished[trial.number]
                if not _alike(stored, outcome.result):
                    unlike.append(trial.number)
                # A run that is still there but has no weights is replaced.
                there = stored.run_id if stored.run_id in tracker.known.active else None
                run_id = tracker.log_trial(trial, outcome, session.data, replaces=there)
                study.record_run(trial.number, run_id)
                progress.recorded("")
                session.stop.honour()
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
    if report.unlike:
        lines.append(
            f"note     {len(report.unlike):,} trials differ from what Optuna holds, for example "
            f"#{report.unlike[0]}: another machine or NumPy version rounds differently, and "
            "diverging trials amplify the difference"
        )
    return "\n".join([*lines, f"next     lockstep compare {spec.argument}"])
