"""The grid of a study's search space."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from core.trainer.result import Hyperparameters
from search.spec.axes import Range
from search.spec.study_spec import StudySpec

SIGNIFICANT_DIGITS = 6  # Grid values are rounded, so that what is shown is what was used.


def points(axis: Range | tuple[float, ...]) -> list[float]:
    """Return the grid values of one axis: ascending for a range, otherwise as listed.

    Raises ValueError if a range does not say how many points it has.
    """
    if not isinstance(axis, Range):
        return list(axis)
    if axis.points is None:
        raise ValueError("a range without points has no grid")
    spaced = np.geomspace if axis.log else np.linspace
    exact = [float(value) for value in spaced(axis.low, axis.high, axis.points)]
    rounded = [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in exact]
    rounded[0], rounded[-1] = axis.low, axis.high
    # In a very narrow range, rounding would merge or reorder points, so they are kept exact.
    ordered = all(a < b for a, b in itertools.pairwise(rounded))
    return rounded if ordered else exact


def axes(spec: StudySpec) -> dict[str, list[Any]]:
    """Return the grid's values of each hyperparameter that is searched, by name.

    They are ordered as the grid is: by set of features, by batch size, by what [model] lists, by
    learning rate, and then by weight decay.
    """
    space, searched = spec.space, spec.searched()
    return {
        **{name: list(searched.pop(name)) for name in ("features",) if name in searched},
        "batch_size": sorted(space.batch_size),
        **{name: list(values) for name, values in searched.items()},
        "learning_rate": points(space.learning_rate),
        "weight_decay": points(space.weight_decay),
    }


def grid(spec: StudySpec) -> list[Hyperparameters]:
    """Return every combination, in the order of `axes`."""
    named = axes(spec)
    combinations = itertools.product(*named.values())
    return [spec.hyperparameters(dict(zip(named, each, strict=True))) for each in combinations]
