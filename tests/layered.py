"""A study of several sets of features of the same examples: layers of which the middle ones are
good, with different numbers of features."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from small_study import NO_KEYS, Options, small_study, write_study

from core.statistics.proportions import Interval
from search.spec.objective import Objective
from search.trials.layers import Layer, Layers

LAYERS = ("layer-2", "layer-9", "layer-10", "layer-11")  # in the order in which they are searched
BEST, TIED = "layer-9", "layer-10"
SIZES = (4, 7, 9, 5)  # features
ROWS, CLASSES = 300, 3
KEYS: dict[str, object] = {
    "data.source": None,
    "data.classes": None,
    "data.features": "layers/layer-*.npy",
    "data.labels": "layers/labels.npy",
    "data.split": "layers/split.npy",
    "baseline": None,
}


def write_layers(folder: Path) -> None:
    """Write the files of features, labels and split into the folder ``layers``.

    The second has the classes with some noise, the third the same and columns that say nothing; the
    first and the last have much more noise.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) % CLASSES
    signal = 2.0 * np.eye(CLASSES)[labels] + 0.9 * rng.normal(size=(ROWS, CLASSES))
    (folder / "layers").mkdir()
    for name, size in zip(LAYERS, SIZES, strict=True):
        noise = {BEST: 0.0, TIED: 0.05}.get(name, 3.0)
        X = rng.normal(size=(ROWS, size))
        X[:, :CLASSES] = signal + noise * rng.normal(size=(ROWS, CLASSES))
        np.save(folder / "layers" / f"{name}.npy", X.astype(np.float16))
    np.save(folder / "layers" / "labels.npy", labels)
    np.save(folder / "layers" / "split.npy", np.where(rng.random(ROWS) < 0.3, "test", "train"))


def beside_layers(study: Path, folder: Path) -> Path:
    """Copy a study file into a folder that also has the layers, which a study of layers needs to
    be read; return its path there."""
    write_layers(folder)
    return Path(shutil.copy(study, folder))


def layered_study(folder: Path, keys: Mapping[str, object] = NO_KEYS, /, **options: object) -> Path:
    """Write a study of the layers with these keys and options, and its data unless they are there;
    return its path."""
    if not (folder / "layers").exists():
        write_layers(folder)
    given: Options = {
        "learning_rate": [0.03, 0.3],
        "weight_decay": [0.0, 0.01],
        "batch_size": [16],
        "penalty": "squared",
        "bias": True,
    }
    return write_study(folder, small_study(KEYS | dict(keys), **(given | options)))  # type: ignore[typeddict-item]


def made_layers(
    count: int, objective: Objective = Objective.LOSS, tied: int = 1, missing: int = 0
) -> Layers:
    """Made-up layers, of which the best is at three quarters; as many as ``tied`` before it tie."""
    best = (3 * count) // 4
    found = []
    for k in range(missing, count):
        badness = 0.05 + 0.9 * (abs(k - best) / count) ** 1.5
        near = 0 <= best - k <= tied
        found.append(
            Layer(
                name=f"layer-{k}", place=k + 1, trials=3, trial=k,
                badness=badness, interval=Interval(0.8 * badness, 1.2 * badness),
                error_rate=badness / 2, error_interval=Interval(0.4 * badness, 0.6 * badness),
                val_loss=badness, loss_error=0.1 * badness,
                val_accuracy=1 - badness / 2, accuracy_error=0.05 * badness,
                behind=badness - 0.05, behind_error=0.01, p_value=1.0 if near else 0.0,
                accuracy_p_value=1.0 if near else 0.0, is_tied=near, is_as_accurate=near,
                chosen=0.0,
            )
        )  # fmt: skip
    names = [f"layer-{k}" for k in range(missing)]
    return Layers(objective, 500, count, found, names, found[best - missing])
