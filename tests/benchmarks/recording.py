"""Benchmark 4: what the Optuna study costs the driver as the number of configurations grows."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import table

from core.trainer.result import Status
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.opening import open_study
from search.study.search_study import SearchStudy
from search.trials.finished_trial import FinishedTrial
from search.trials.trial import PlannedTrial

DECAYS = 10  # values of weight decay; the learning rates fill up


@dataclass(frozen=True, slots=True)
class Case:
    sampler: str
    storage: str
    trials: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds: of the whole study, of its first and its last tenth, of opening and reading it."""

    total: float
    first_tenth: float
    last_tenth: float
    reopened: float


def cases(quick: bool) -> list[Case]:
    largest = 1_000 if quick else 10_000
    return [
        *(Case("grid", "journal", n) for n in (100, 1_000, 10_000) if n <= largest),
        *(Case("grid", "SQLite", n) for n in (100, 1_000)),
        *(Case("random", "journal", n) for n in (100, 1_000, 10_000) if n <= largest),
    ]


def _spec(case: Case) -> StudySpec:
    search = {"sampler": case.sampler}
    rates = {"low": 1e-4, "high": 1.0, "log": True, "points": case.trials // DECAYS}
    decays = {"low": 1e-6, "high": 1e-1, "log": True, "points": DECAYS}
    return StudySpec.model_validate(
        {
            "name": "recording",
            "data": {"source": "mnist"},
            "space": {"learning_rate": rates, "weight_decay": decays, "batch_size": [50]},
            "search": search if case.sampler == "grid" else search | {"trials": case.trials},
        }
    )


def _planned(study: SearchStudy) -> Iterator[PlannedTrial]:
    """Trial after trial, as a launch meets them."""
    recorded: set[int] = set()
    while cohort := [each for each in study.next_cohort() if each.number not in recorded]:
        for trial in cohort:
            recorded.add(trial.number)
            yield trial


def measure(case: Case) -> Cost:
    spec = _spec(case)
    with tempfile.TemporaryDirectory() as folder:
        url = None if case.storage == "journal" else f"sqlite:///{folder}/optuna.db"
        settings = Settings(home=Path(folder), storage=url)
        with open_study(spec, settings, "digest") as study:
            times = [time.perf_counter()]
            for trial in _planned(study):
                study.record(
                    FinishedTrial(
                        number=trial.number,
                        hyperparameters=trial.hyperparameters,
                        status=Status.COMPLETED,
                        train_loss=0.123456789,
                        train_accuracy=0.9876543,
                        val_loss=0.123456789,
                        val_accuracy=0.9876543,
                        best_epoch=90,
                        best_val_loss=0.123456789,
                        stopped_epoch=100,
                        run_id="0123456789abcdef0123456789abcdef",
                    )
                )
                times.append(time.perf_counter())
        if len(times) != case.trials + 1:
            raise RuntimeError(f"{len(times) - 1} trials were recorded instead of {case.trials}")
        started = time.perf_counter()
        with open_study(spec, settings, "digest") as study:
            finished = len(study.finished())
        if finished != case.trials:
            raise RuntimeError(f"{finished} trials were read back instead of {case.trials}")
        reopened = time.perf_counter() - started
    tenth = case.trials // 10
    return Cost(
        times[-1] - times[0], times[tenth] - times[0], times[-1] - times[-1 - tenth], reopened
    )


def recording(rounds: int, quick: bool, say: Callable[[str], None]) -> str:
    """The Markdown section."""
    costs: dict[Case, list[Cost]] = {case: [] for case in cases(quick)}
    for _ in range(rounds):
        for case, measured in costs.items():
            measured.append(measure(case))
            say(f"{case}: {measured[-1].total:.2f} s")
    rows = []
    for case, measured in costs.items():

        def per_trial(value: Callable[[Cost], float], trials: int, of: list[Cost]) -> str:
            return f"{1000 * statistics.median(map(value, of)) / trials:.2f}"

        tenth = case.trials // 10
        rows.append(
            [
                case.sampler,
                case.storage,
                f"{case.trials:,}",
                f"{statistics.median(each.total for each in measured):.2f}",
                per_trial(lambda each: each.total, case.trials, measured),
                per_trial(lambda each: each.first_tenth, tenth, measured),
                per_trial(lambda each: each.last_tenth, tenth, measured),
                f"{statistics.median(each.reopened for each in measured):.2f}",
            ]
        )
    headings = [
        "sampler", "storage", "configurations", "total, s", "a trial, ms", "in the first tenth",
        "in the last tenth", "reopen and read all, s",
    ]  # fmt: skip
    return "\n".join(
        [
            "## Optuna: the driver's time",
            "",
            f"Planning and recording alone, without training and MLflow. Medians of {rounds} "
            "interleaved rounds.",
            "",
            table(headings, rows),
        ]
    )
