"""Launch a study: train what it still lacks, mirror every trial to MLflow, and summarise."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from core.data import Splits
from core.result import Status, TrainingResult
from core.stack import Stack
from core.training_data import TrainingData
from search.choice import Choice
from search.cluster import open_executor, where_trained
from search.console import Console, Progress
from search.errors import LockstepError
from search.executors import Executor, StackJob
from search.finished_trial import FinishedTrial, ranked
from search.interrupts import InterruptedStudyError, stopping_politely
from search.links import compare_url
from search.plan import PlannedTrial, StackTask, stacks, unfinished
from search.settings import Settings, redacted
from search.spec import StudySpec
from search.study import SearchStudy, open_study
from search.study_data import described, load_data
from search.study_report import best_runs, note, write_report
from search.tracking import Tracker
from search.tracking_store import answering, delete_strays, impatient, open_tracker


@dataclass(slots=True)
class Seconds:
    """Wall time: in all; until the last stack was trained, over all cohorts; spent by the driver
    on recording, which overlaps with training."""

    total: float = 0.0
    training: float = 0.0
    logging: float = 0.0


@dataclass(frozen=True, slots=True)
class LaunchReport:
    """A finished launch."""

    study: str
    trials: list[FinishedTrial]
    best: FinishedTrial | None
    choice: Choice | None
    seconds: Seconds
    mlflow: dict[str, str]

    def count(self, status: Status) -> int:
        return sum(trial.status is status for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        best = self.best
        return {
            "study": self.study,
            "trials": {
                "complete": self.count(Status.COMPLETED),
                "pruned": self.count(Status.PRUNED),
                "failed": self.count(Status.DIVERGED),
            },
            "best": best
            and {
                "number": best.number,
                "learning_rate": best.hyperparameters.learning_rate,
                "weight_decay": best.hyperparameters.weight_decay,
                "batch_size": best.hyperparameters.batch_size,
                "val_loss": best.val_loss,
                "val_accuracy": best.val_accuracy,
            },
            "choice": self.choice and self.choice.as_json(),
            "seconds": {
                "total": round(self.seconds.total, 3),
                "training": round(self.seconds.training, 3),
                "logging": round(self.seconds.logging, 3),
            },
            "mlflow": self.mlflow,
        }


def launch(spec: StudySpec, settings: Settings, console: Console) -> LaunchReport:
    """Run the study to its end, or continue it. Raises LockstepError and OSError."""
    return run_study(spec, load_data(spec, settings, console.say), settings, console)


def run_study(spec: StudySpec, data: Splits, settings: Settings, console: Console) -> LaunchReport:
    """`launch` on data that is loaded already."""
    started = time.perf_counter()
    console.say(f"Study {spec.name}" + (f": {spec.description}" if spec.description else ""))
    console.say(f"  data    {described(spec, data)}")
    seconds = Seconds()
    with ExitStack() as stack:
        check = stack.enter_context(stopping_politely(console.say))
        study = stack.enter_context(open_study(spec, settings, data.digest))
        finished = {trial.number: trial for trial in study.finished()}
        console.say(f"  search  {_search_line(study, len(finished), settings)}")
        driver = None
        if len(finished) < study.budget:
            training = TrainingData.of(data.train, data.validation)
            executor = stack.enter_context(open_executor(training, settings, console.say))
            progress = stack.enter_context(
                console.progress(study.budget, spec.model.epochs, len(finished))
            )
            driver = _Driver(study, data, training, executor, progress, check, seconds, finished)
            driver.start_cohort()  # trains while MLflow is opened, which takes seconds
        recorded = {number: each.run_id for number, each in finished.items()}
        tracker = open_tracker(spec, settings, recorded)
        try:
            with answering(settings):
                if driver is not None:
                    driver.run(tracker)
                    if settings.mlflow_uri.startswith("http"):
                        delete_strays(tracker, {n: each.run_id for n, each in finished.items()})
                clock = time.perf_counter()
                choice = write_report(study, tracker, data, settings)
                seconds.logging += time.perf_counter() - clock
        except (InterruptedStudyError, LockstepError):
            # The server may be what failed: then the next launch puts its run right.
            with contextlib.suppress(Exception), impatient():
                tracker.stop()
            raise
    seconds.total = time.perf_counter() - started
    trials = study.finished()
    ranking = ranked(trials, spec.search.objective)
    return LaunchReport(
        study=spec.name,
        trials=trials,
        best=ranking[0] if ranking else None,
        choice=choice,
        seconds=seconds,
        mlflow={
            "tracking_uri": redacted(settings.mlflow_uri),
            "experiment_id": tracker.experiment_id,
            "parent_run_id": tracker.parent_run_id,
            "compare_url": compare_url(
                settings.ui_address, tracker.experiment_id, best_runs(tracker, ranking)
            ),
        },
    )


def _search_line(study: SearchStudy, n_finished: int, settings: Settings) -> str:
    spec = study.spec
    line = (
        f"{spec.search.sampler}, {study.budget:,} configurations × {spec.model.epochs} epochs, "
        f"{where_trained(settings)}"
    )
    return f"{line}; {n_finished:,} already done" if n_finished else line


@dataclass(slots=True)
class _Driver:
    """The loop of a launch: cohorts to stacks, results to MLflow and then to Optuna."""

    study: SearchStudy
    data: Splits
    training: TrainingData
    executor: Executor
    progress: Progress
    check: Callable[[], None]
    seconds: Seconds
    finished: dict[int, FinishedTrial]
    best: list[FinishedTrial] = field(init=False)  # so far, at most one
    tasks: list[StackTask] = field(default_factory=list)  # of the current cohort
    stacks: Iterator[Stack] = field(default_factory=lambda: iter(()))

    def __post_init__(self) -> None:
        self.best = ranked(list(self.finished.values()), self.study.spec.search.objective)[:1]

    def start_cohort(self) -> None:
        """Start to train the next trials, if there are any."""
        cohort = self.study.next_cohort()
        classes = len(self.data.train.class_names)
        self.tasks = unfinished(stacks(cohort, classes), self.finished)
        model = self.study.spec.model
        jobs = [StackJob(self._untrained(task), model.epochs) for task in self.tasks]
        self.stacks = self.executor.run(jobs, self._tick)

    def _untrained(self, task: StackTask) -> Stack:
        model = self.study.spec.model
        trials = tuple(each.hyperparameters for each in task.trials)
        return Stack(trials, model.penalty, model.seed, task.tile)

    def run(self, tracker: Tracker) -> None:
        """Record the cohort that was started, and then one after the other."""
        while self.tasks:
            for task, stack in zip(self.tasks, self.stacks, strict=True):
                results = stack.results(self.training)
                for trial, result in zip(task.trials, results, strict=True):
                    self._record(tracker, trial, result)
            self.seconds.training += self.executor.training_seconds
            self.start_cohort()

    def _tick(self, trained: int) -> None:
        self.progress.trained(trained)
        self.check()

    def _record(self, tracker: Tracker, trial: PlannedTrial, result: TrainingResult) -> None:
        """MLflow first, then Optuna: recording there is the commit. Killed in between, the trial
        is trained again and its run replaced."""
        clock = time.perf_counter()
        run_id = tracker.log_trial(self.study.spec, trial, result, self.data)
        recorded = FinishedTrial.of(trial.number, result, run_id)
        self.study.record(recorded)
        self.finished[trial.number] = recorded
        self.seconds.logging += time.perf_counter() - clock
        objective = self.study.spec.search.objective
        self.best = ranked([*self.best, recorded], objective)[:1]
        best = f"{objective} {getattr(self.best[0], objective):.4g}" if self.best else ""
        self.progress.recorded(best)
        self.check()


def summary(report: LaunchReport, spec: StudySpec, settings: Settings) -> str:
    """The closing lines of a launch: what was found, and what to type next."""
    seconds = report.seconds
    parts = [f"{report.count(Status.COMPLETED):,} completed"]
    for status, word in ((Status.PRUNED, "pruned"), (Status.DIVERGED, "diverged")):
        if report.count(status):
            parts.append(f"{report.count(status):,} {word}")
    lines = [
        "",
        f"{len(report.trials):,} trials ({', '.join(parts)}) in {seconds.total:.1f} s: "
        f"training {seconds.training:.1f} s, logging {seconds.logging:.1f} s beside it",
        *note(spec, report.trials, report.choice),
        "",
        f"figures  {settings.figures(spec.name)}",
        f"next     lockstep compare {spec.name}   ranking, heat maps, links into the MLflow UI",
        f"         lockstep retrain {spec.name}   the best, on train + validation, judged on test",
        f"         lockstep ui {spec.name}        the runs side by side in your browser",
    ]
    return "\n".join(lines)
