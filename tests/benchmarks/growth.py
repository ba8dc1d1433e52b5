"""Benchmark 3: what a launch costs as trials, rows and classes grow, and its peak memory.

Each launch runs in a process of its own: ``growth.py '{"trials": 60, ...}'`` prints one JSON line.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from core.datasets.dataset import Dataset
    from core.datasets.study_data import StudyData
    from search.spec.study_spec import StudySpec

# Heavy imports happen inside functions: training processes import this file too, as any program
# that starts them.

FEATURES = 784
BATCH_SIZES = [50, 200]
DECAYS = 5
EPOCHS = 5
WORKERS = 2
LONG = 1_000  # trials beyond which a launch is measured once


@dataclass(frozen=True, slots=True)
class Case:
    trials: int = 60
    rows: int = 10_000
    classes: int = 2


def cases(quick: bool) -> list[Case]:
    every = [
        Case(),
        Case(trials=600),
        Case(trials=6_000),
        Case(rows=1_000),
        Case(rows=100_000),
        Case(classes=10),
        Case(classes=100),
    ]
    return [case for case in every if not quick or case.trials * case.rows * case.classes < 1e7]


def synthetic(case: Case) -> StudyData:
    """Noisy class means in [0, 1]; a fifth as many rows held out again."""
    from core.datasets.dataset import Dataset
    from core.datasets.splits import Splits
    from core.datasets.study_data import StudyData

    rng = np.random.default_rng(0)
    means = rng.random((case.classes, FEATURES), dtype=np.float32)
    names = tuple(map(str, range(case.classes)))

    def draw(rows: int) -> Dataset:
        y = np.arange(rows) % case.classes
        X = rng.random((rows, FEATURES), dtype=np.float32)
        X *= np.float32(0.7)
        X += np.float32(0.3) * means[y]
        return Dataset.of(X, y.astype(np.intp), names, (28, 28))

    parts = draw(case.rows), draw(case.rows // 5), draw(case.classes)
    return StudyData({"": Splits.of(*parts)})


def spec(case: Case) -> StudySpec:
    from search.spec.study_spec import StudySpec

    points = case.trials // len(BATCH_SIZES) // DECAYS
    return StudySpec.model_validate(
        {
            "name": "growth",
            "data": {"source": "synthetic"},
            "model": {"epochs": EPOCHS},
            "space": {
                "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True, "points": points},
                "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True, "points": DECAYS},
                "batch_size": BATCH_SIZES,
            },
        }
    )


def run_case(case: Case) -> dict[str, Any]:
    """One launch in this process."""
    from measure import PeakMemory

    from search.commands.launch import run_study
    from search.console import Console
    from search.settings import Settings

    data = synthetic(case)
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory:
        settings = Settings(home=Path(folder), workers=WORKERS)
        started = time.perf_counter()
        report = run_study(spec(case), data, settings, Console(as_json=True))
        total = time.perf_counter() - started
    if len(report.trials) != case.trials:
        raise RuntimeError(f"{len(report.trials)} trials instead of {case.trials}")
    return {
        "total": total,
        "training": report.seconds.training,
        "logging": report.seconds.logging,
        "memory": memory.total / 2**20,
        "largest": memory.largest / 2**20,
    }


def _run_apart(case: Case) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(asdict(case))],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{case} failed:\n{done.stderr}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def growth(rounds: int, quick: bool, say: Callable[[str], None]) -> str:
    """The Markdown section."""
    from measure import table

    measured: dict[Case, list[dict[str, float]]] = {case: [] for case in cases(quick)}
    for number in range(rounds):
        for case, results in measured.items():
            if number == 0 or case.trials <= LONG:
                results.append(_run_apart(case))
                say(f"{case}: {results[-1]}")
    rows = []
    for case, results in measured.items():
        median = {key: statistics.median(each[key] for each in results) for key in results[0]}
        rows.append(
            [
                f"{case.trials:,}",
                f"{case.rows:,}",
                str(case.classes),
                f"{median['total']:.1f}",
                f"{median['training']:.2f}",
                f"{median['logging']:.1f}",
                f"{1000 * median['logging'] / case.trials:.0f}",
                f"{median['memory']:.0f}",
                f"{median['largest']:.0f}",
            ]
        )
    headings = [
        "trials", "rows", "classes", "launch, s", "training, s", "logging, s",
        "logging a trial, ms", "peak memory, MB", "of the largest process",
    ]  # fmt: skip
    return "\n".join(
        [
            "## Cost as work grows",
            "",
            f"Whole launches of {EPOCHS} epochs on synthetic data with {FEATURES} features, "
            f"batches of {' and '.join(map(str, BATCH_SIZES))}, {WORKERS} training processes. "
            f"Medians of {rounds} interleaved rounds (beyond {LONG:,} trials of one). Logging "
            "includes the figures at the end. Memory: of all processes together, shared pages "
            "counted once; the data alone are rows × 1.2 × 784 × 4 bytes.",
            "",
            table(headings, rows),
        ]
    )


if __name__ == "__main__":
    print(json.dumps(run_case(Case(**json.loads(sys.argv[1])))))
