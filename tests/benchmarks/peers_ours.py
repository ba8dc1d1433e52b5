"""Lockstep as a row of the peers' table: `run_peers.py --ours`.

    python peers_ours.py --configs 25 --epochs 20 --data MNIST_DIR --out NEW_DIR --grid grid.json

A whole launch on the peers' data split and configurations: Optuna journal, MLflow runs with every
epoch's metrics (or fewer, with --thin), weight images, figures. The last line of standard output
is the peers' JSON. As theirs do, its clock starts after the imports.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.datasets.study_data import StudyData
    from core.trainer.result import Hyperparameters
    from search.spec.study_spec import StudySpec

# Heavy imports happen inside functions: training processes import this file too, as any program
# that starts them.

WORKERS = 2


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--configs", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--grid", type=Path, required=True, help="grid.json, beside the peers")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--thin", action="store_true", help="launch's default: not every epoch")
    return parser.parse_args()


def peers_spec(epochs: int) -> StudySpec:
    """The peers' grid, all 600 of it, and their penalty."""
    from search.spec.study_spec import StudySpec

    return StudySpec.model_validate(
        {
            "name": "peers",
            "data": {"source": "mnist", "classes": [3, 6]},
            "model": {"penalty": "squared", "epochs": epochs},
            "space": {
                "learning_rate": {"low": 1e-4, "high": 1.0, "log": True, "points": 12},
                "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True, "points": 10},
                "batch_size": [50, 100, 200, 400, 800],
            },
        }
    )


def peers_split(peers: Path, folder: Path) -> StudyData:
    """The same rows for training and validation as the peers use; none for testing."""
    import numpy as np

    from core.datasets.dataset import Dataset
    from core.datasets.splits import Splits
    from core.datasets.study_data import StudyData

    sys.path.insert(0, str(peers))
    from peers_common import load_data

    X, y, X_val, y_val = load_data(folder)

    def dataset(X: Any, y: Any) -> Dataset:
        return Dataset.of(X, np.asarray(y, np.intp), ("3", "6"), (28, 28))

    train = dataset(X, y)
    return StudyData({"": Splits.of(train, dataset(X_val, y_val), train.take(np.arange(0)))})


def chosen(spec: StudySpec, path: Path, count: int) -> list[Hyperparameters]:
    """The first configurations of the peers' list, in the order of our grid."""
    from search.spec.space import grid

    wanted = {
        (each["lr"], each["wd"], each["batch_size"])
        for each in json.loads(path.read_text())[:count]
    }
    points = [
        each
        for each in grid(spec)
        if (each.learning_rate, each.weight_decay, each.batch_size) in wanted
    ]
    if len(points) != count:
        raise SystemExit(f"only {len(points)} of the peers' {count} points are in our grid")
    return points


def main() -> None:
    options = arguments()
    import mlflow  # noqa: F401  a launch does so later; the peers are timed without their imports
    from measure import PeakMemory

    import search.study.generations
    from core.trainer.result import Status
    from search.commands.launch import run_study
    from search.console import Console
    from search.settings import Settings

    started = time.perf_counter()
    spec = peers_spec(options.epochs)
    points = chosen(spec, options.grid, options.configs)
    setattr(search.study.generations, "grid", lambda space: points)  # noqa: B010  whole grids only
    data = peers_split(options.grid.resolve().parent, options.data)
    loaded = time.perf_counter()
    settings = Settings(home=options.out, workers=options.workers, every_epoch=not options.thin)
    with PeakMemory() as memory:
        report = run_study(spec, data, settings, Console(as_json=True))
    wall, setup = time.perf_counter() - started, loaded - started
    best, seconds = report.best, report.seconds
    assert best is not None
    result = {
        "peer": "ours",
        "configs": options.configs,
        "epochs": options.epochs,
        "wall_s": wall,
        "trials_per_s": options.configs / wall,
        "train_s": seconds.training * options.workers,  # core-seconds, as other parallel peers'
        "log_s": seconds.logging,
        "best": {
            "batch_size": best.hyperparameters.batch_size,
            "lr": best.hyperparameters.learning_rate,
            "wd": best.hyperparameters.weight_decay,
            "val_loss": best.val_loss,
        },
        "setup_s": setup,
        "parallel": options.workers,
        "steady_s": wall - setup,  # parts overlap
        "other_s": max(0.0, wall - setup - seconds.logging - seconds.training),
        "peak_memory_mb": memory.total / 2**20,
        "failed": report.count(Status.DIVERGED),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
