"""A study of several sets of features of the same examples: layers of which the middle ones are
good, with different numbers of features."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from small_study import NO_KEYS, Options, small_study, write_study

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
