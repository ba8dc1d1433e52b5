"""Write a study's MLflow mirror again, as far as it is lost: Optuna's storage holds the trials, and
training them anew gives the same numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.trainer.result import TrainingResult
from core.trainer.training_data import TrainingData
from search.commands.interrupts import InterruptedStudyError, stopping_politely
from search.commands.study_data import load_data
from search.commands.study_report import write_report
from search.console import Console
from search.errors import LockstepError, NothingToShowError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.search_study import SearchStudy, open_study
from search.study.storage import check_launched
from search.tracking.results import MissingResultError, read_result
from search.tracking.store import answering, impatient, open_tracker
from search.tracking.tracker import Tracker
from search.training.cohort import CohortTraining
from search.training.dask_cluster import open_executor
from search.training.processes import Executor
from search.training.stacks import PlannedTrial
from search.trials.finished_trial import FinishedTrial
from search.trials.outcome import Outcome

CLOSE = 1e-3  # relative: numbers of other machines may differ by rounding


@dataclass(frozen=True, slots=True)
class SyncReport:
    """trials: finished ones. written: runs that were written again. unlike: numbers of those whose
    scores came out unlike what Optuna holds."""

    study: str
    trials: int
    written: int
    unlike: list[int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def sync(spec: StudySpec, settings: Settings, console: Console) -> SyncReport:
    """Raises NothingToShowError when no trial has finished, LockstepError and OSError."""
    check_launched(spec.name, settings)
    data = load_data(spec, settings, console.say)
    with ExitStack() as stack:
        check = stack.enter_context(stopping_politely(console.say))
        study = stack.enter_context(open_study(spec, settings, data.digest))
        finished = {trial.number: trial for trial in study.finished()}
        if not finished:
            raise NothingToShowError(f"study {spec.name} has no finished trial yet: launch it")
        tracker = open_tracker(spec, settings, {n: each.run_id for n, each in finished.items()})
        try:
            with answering(settings):
                whole = {n: each for n, each in finished.items() if _is_whole(tracker, each)}
                lost = finished.keys() - whole.keys()
                console.say(
                    f"Study {spec.name}: {len(lost):,} of {len(finished):,} runs are to be written"
                )
                unlike: list[int] = []
                # Runs without their weights are replaced.
                there = (n for n in lost if finished[n].run_id in tracker.active)
                tracker.leftovers |= {n: finished[n].run_id for n in there}
                if lost:
                    training = TrainingData.of(data.train, data.validation)
                    executor = stack.enter_context(open_executor(training, settings, console.say))
                    progress = stack.enter_context(
                        console.progress(len(finished), None, len(whole), what="runs")
                    )

                    def tick(trained: int) -> None:
                        progress.trained(trained)
                        check()

                    for trial, outcome in _retrained(study, whole, lost, executor, training, tick):
                        stored = finished[trial.number]
                        if not _alike(stored, outcome.result):
                            unlike.append(trial.number)
                        run_id = tracker.log_trial(
                            spec, trial, outcome.result, data, outcome.spread
                        )
                        study.record_run(trial.number, run_id)
                        progress.recorded("")
                        check()
                    _log_finals(study, tracker, lost)
                write_report(study, tracker, data, settings)
        except (InterruptedStudyError, LockstepError):
            with contextlib.suppress(Exception), impatient():
                tracker.stop()
            raise
    return SyncReport(spec.name, len(finished), len(lost), sorted(unlike))


def _is_whole(tracker: Tracker, trial: FinishedTrial) -> bool:
    """Whether its run is in MLflow, with its weights."""
    if trial.run_id not in tracker.active:
        return False
    try:
        read_result(tracker, trial.run_id)
    except MissingResultError:
        return False
    return True


def _retrained(
    study: SearchStudy,
    whole: Mapping[int, FinishedTrial],
    lost: Collection[int],
    executor: Executor,
    data: TrainingData,
    tick: Callable[[int], None],
) -> Iterator[tuple[PlannedTrial, Outcome]]:
    """The lost trials, trained again beside the others of their cohorts, as they were."""
    spec = study.spec
    for cohort in study.cohorts():
        if not any(trial.number in lost for trial in cohort):
            continue
        training = CohortTraining(
            trials=cohort,
            schedule=study.schedule(cohort),
            recorded={
                trial.number: whole[trial.number] for trial in cohort if trial.number in whole
            },
            seeds=[spec.model.seed + r for r in range(spec.search.replicates)],
            penalty=spec.model.penalty,
            objective=spec.search.objective,
            data=data,
            executor=executor,
            tick=tick,
        )
        for trial, outcome in training.outcomes():
            if trial.number in lost:
                yield trial, outcome


def _alike(stored: FinishedTrial, result: TrainingResult) -> bool:
    """Whether a trial came out again as it is stored, up to rounding."""
    again = FinishedTrial.of(stored.number, result, stored.run_id)
    same = (again.status, again.stopped_epoch) == (stored.status, stored.stopped_epoch)
    return same and bool(
        np.isclose(again.val_loss, stored.val_loss, rtol=CLOSE, atol=0, equal_nan=True)
    )


def _log_finals(study: SearchStudy, tracker: Tracker, lost: Collection[int]) -> None:
    """How the best did on fresh seeds, on their new runs."""
    finals = study.finals()
    runs = {trial.number: trial.run_id for trial in study.finished()}
    for finalist in finals.finalists if finals else ():
        if finalist.trial in lost:
            tracker.log_values(runs[finalist.trial], metrics=finalist.metrics())


def summary(report: SyncReport) -> str:
    lines = [f"{report.written:,} of {report.trials:,} runs were written again"]
    if report.unlike:
        lines.append(
            f"note     {len(report.unlike):,} trials came out otherwise than Optuna holds them, "
            f"#{report.unlike[0]} for one: another machine or NumPy rounds otherwise, and "
            "diverging trials amplify it"
        )
    return "\n".join([*lines, f"next     lockstep compare {report.study}"])
