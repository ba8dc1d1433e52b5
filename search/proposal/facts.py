"""What is in some data: sizes, classes, and how sharply a loss on it can bend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets.curvature import largest_curvature
from core.datasets.dataset import Dataset, ImageShape
from core.datasets.remarks import remarks
from core.datasets.scaled import automatic
from core.datasets.scaling import Scale
from core.datasets.sources import Loaded, load_source
from core.datasets.splits import Splits, prepare
from core.datasets.survey import bytes_in_files, surveyed
from search.errors import LockstepError
from search.proposal.given import Given
from search.proposal.ranges import FOLDS, MOST_ROWS_FOR_FOLDS, VALIDATION_FRACTION

FEWEST_OF_A_CLASS = 5  # rarer classes cannot be in every part
MANY_CLASSES = 20  # more of them, most of them rare, are no classes
_SAMPLE = 20_000  # rows by which the curvature is measured


@dataclass(frozen=True, slots=True)
class Facts:
    """What is in some data.

    classes: the number of examples of each class that is kept. left_out: of those too rare.
    own_parts: the parts that the source divides itself into, beside train.
    folds: how many folds fit the data; None if one part is held out.
    rows: the number of training examples, of the smallest fold if there are folds.
    sizes: how many examples the training, validation and test parts have.
    curvature: the largest of the loss on the scaled training part; see `curvature.py`.
    remarks: sentences about what is odd.
    """

    given: Given
    classes: dict[str, int]
    left_out: dict[str, int]
    features: int
    feature_names: tuple[str, ...] | None
    image_shape: ImageShape | None
    own_parts: tuple[str, ...]
    folds: int | None
    rows: int
    sizes: tuple[int, int, int]
    scale: Scale
    curvature: float
    remarks: tuple[str, ...]

    @property
    def examples(self) -> int:
        """The number of examples of the classes that are kept, in all parts."""
        return sum(self.classes.values())


def examine(given: Given, data_dir: Path | None, announce: Callable[[str], None]) -> Facts:
    """Load the data, divide it as its size asks for, and return what is in it.

    data_dir, announce: see `load_source`. Raises LockstepError if the labels seem to be no classes,
    and DataError if the data is not valid.
    """
    told: list[str] = []
    loaded = load_source(given.source, None, data_dir, announce, told.append)
    counts = dict(zip(loaded.train.class_names, loaded.train.counts().tolist(), strict=True))
    left_out = {name: n for name, n in counts.items() if n < FEWEST_OF_A_CLASS}
    _check(given, counts, left_out)
    if left_out:
        told.clear()
        kept = [name for name in counts if name not in left_out]
        loaded = load_source(given.source, kept, data_dir, announce, told.append)
    splits, folds = _divided(loaded)
    if bytes_in_files(splits):
        splits = surveyed(splits, lambda advanced: None)
    told += remarks(splits, given.source.path.name)
    scale = automatic(splits.train)
    scaled = splits.scaled(scale)
    parts = [each for each in (loaded.train, loaded.validation, loaded.test) if each is not None]
    totals = np.sum([part.counts() for part in parts], axis=0).tolist()
    own = {"validation": loaded.validation, "test": loaded.test}
    train = loaded.train
    return Facts(
        given=given,
        classes=dict(zip(train.class_names, totals, strict=True)),
        left_out=left_out,
        features=train.X.shape[1],
        feature_names=train.feature_names,
        image_shape=train.image_shape,
        own_parts=tuple(name for name, part in own.items() if part is not None),
        folds=folds,
        rows=min(len(kept) for kept, _ in splits.folds),
        sizes=(len(splits.train), len(splits.validation), len(splits.test)),
        scale=scale,
        curvature=_curvature(scaled.train),
        remarks=tuple(told),
    )


def _check(given: Given, counts: dict[str, int], left_out: dict[str, int]) -> None:
    """Raise LockstepError if these classes, with their numbers of examples, seem to be none."""
    where = given.label or given.source.name
    if len(counts) > MANY_CLASSES and 2 * len(left_out) > len(counts):
        raise LockstepError(
            f"the labels ({where}) have {len(counts):,} different values, most of them on fewer "
            f"than {FEWEST_OF_A_CLASS} examples: this looks like regression or like names, and "
            "Lockstep tells classes apart; name the column of classes with --label"
        )
    if len(counts) - len(left_out) < 2:
        raise LockstepError(
            f"the labels ({where}) have fewer than two classes of {FEWEST_OF_A_CLASS} examples or "
            "more, which is the least that can be divided into train, validation and test"
        )


def _divided(loaded: Loaded) -> tuple[Splits, int | None]:
    """Return the data in parts, and the number of folds, None if one part is held out.

    Where there are few rows, one held-out part would say too little.
    """
    if loaded.validation is None:
        halves = prepare(loaded.train, loaded.test, validation_fraction=0.5, seed=0, n_folds=2)
        if len(halves.train) < MOST_ROWS_FOR_FOLDS:
            folds = min(FOLDS, int(halves.train.counts().min()))
            return (
                prepare(loaded.train, loaded.test, validation_fraction=0.5, seed=0, n_folds=folds),
                folds,
            )
    parts = prepare(
        loaded.train,
        loaded.test,
        validation=loaded.validation,
        validation_fraction=VALIDATION_FRACTION,
        seed=0,
    )
    return parts, None


def _curvature(train: Dataset) -> float:
    """Return the largest curvature on the training part, or on rows of it at even distances."""
    rows = np.linspace(0, len(train) - 1, min(len(train), _SAMPLE)).astype(np.intp)
    return largest_curvature(train.X[rows])
