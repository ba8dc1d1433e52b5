"""Where the best trial lies on the edge of what was searched, and how to search beyond it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from search.errors import StudyFileError
from search.spec.axes import Range
from search.spec.fields import LARGEST
from search.spec.growth import as_stored, obstacles
from search.spec.overrides import Override, overridden
from search.spec.search_spec import BUDGET
from search.spec.space import SIGNIFICANT_DIGITS, points
from search.spec.study_file import study_of
from search.spec.study_spec import StudySpec
from search.spec.understood import understood
from search.trials.finished_trial import FinishedTrial

_LEAST = {"weight_decay": 0.0, "batch_size": 1}  # the smallest values that are allowed
NEAR = 0.05  # So much of a range that a sampler draws from counts as its edge.
STEPS = 2  # by which a grid is to become wider
DECADES = 1.0  # by which a logarithmic range that a sampler draws from is to become wider


class Edge(NamedTuple):
    """An axis on whose edge the best trial lies. larger: whether it is the upper one."""

    name: str
    value: float
    larger: bool

    def __str__(self) -> str:
        """Return it in words."""
        shown = f"{self.value:.4g}" if isinstance(self.value, float) else f"{self.value}"
        way = "larger" if self.larger else "smaller"
        return f"{self.name.replace('_', ' ')} {shown} (try {way})"


def edges(spec: StudySpec, best: FinishedTrial) -> list[Edge]:
    """Return on which axes the best trial has the first or last value, or one next to it where a
    sampler draws from a range."""
    found = []
    for name in ("learning_rate", "weight_decay", "batch_size"):
        axis = getattr(spec.space, name)
        ends = (axis.low, axis.high) if isinstance(axis, Range) else (min(axis), max(axis))
        value = getattr(best.hyperparameters, name)
        place = _place(spec, axis, value)
        if ends[0] == ends[1] or NEAR < place < 1 - NEAR or value == _LEAST.get(name):
            continue  # nothing was searched, or nothing lies beyond
        found.append(Edge(name, value, place > 0.5))
    return found


def _place(spec: StudySpec, axis: Range | Sequence[float], value: float) -> float:
    """Return where a value is on its axis: from 0 for the lowest to 1 for the highest; 0.5 for one
    that is on no edge of a grid."""
    if not isinstance(axis, Range) or spec.search.sampler == "grid":
        values = (axis.low, axis.high) if isinstance(axis, Range) else axis
        return 0.0 if value == min(values) else 1.0 if value == max(values) else 0.5
    if axis.log:
        return math.log(value / axis.low) / math.log(axis.high / axis.low)
    return (value - axis.low) / (axis.high - axis.low)


def widening(spec: StudySpec, best: FinishedTrial, rows: int) -> list[Override]:
    """Return the keys of the study file that search beyond the edges on which the best trial lies,
    and keep all trials; none if there is no such edge.

    rows: those that a trial is trained on, which a batch cannot exceed.
    """
    found: list[Override] = []
    for edge in edges(spec, best):
        for wider in _wider(spec, edge, rows):
            if _keeps(spec, wider):
                found += wider
                break
    if found and spec.search.sampler != "grid":
        for key in BUDGET:
            if (value := getattr(spec.search, key)) is not None:
                found.append(Override(("search", key), 2 * value))
    return found


def _keeps(spec: StudySpec, overrides: Iterable[Override]) -> bool:
    """Return whether a study with these keys is valid and keeps the trials that there are."""
    try:
        wider = study_of(overridden(understood(spec), overrides), spec.file)
    except StudyFileError:
        return False
    return not obstacles(as_stored(spec), wider)


def _wider(spec: StudySpec, edge: Edge, rows: int) -> Iterable[list[Override]]:
    """Yield ways to make an axis wider, of which the first is taken that keeps the trials."""
    axis: Any = getattr(spec.space, edge.name)
    key = ("space", edge.name)
    if not isinstance(axis, Range):
        if (value := _next(sorted(axis), edge, rows)) is not None:
            yield [Override(key, sorted([*axis, value]))]
        return
    end = (*key, "high" if edge.larger else "low")
    if spec.search.sampler != "grid":
        yield [Override(end, _beyond(axis, edge, DECADES))]
        return
    for steps in range(STEPS, 0, -1):
        exact = _extrapolated(points(axis), edge, steps, log=axis.log)
        # With few digits, the points in between may be rounded to others than those that are there.
        for digits in (SIGNIFICANT_DIGITS, 9, 12, 17):
            if 0 <= (value := float(f"{exact:.{digits}g}")) <= LARGEST:
                yield [
                    Override(end, value),
                    Override((*key, "points"), len(points(axis)) + steps),
                ]


def _beyond(axis: Range, edge: Edge, decades: float) -> float:
    """Return a new end of a range that a sampler draws from."""
    if axis.log:
        factor = math.pow(10, decades)
        return min(axis.high * factor, LARGEST) if edge.larger else axis.low / factor
    width = axis.high - axis.low
    return min(axis.high + width, LARGEST) if edge.larger else max(0.0, axis.low - width)


def _extrapolated(values: Sequence[float], edge: Edge, steps: int, *, log: bool) -> float:
    """Return the value that lies so many steps beyond the edge of evenly spaced ones."""
    low, high, gaps = values[0], values[-1], len(values) - 1
    if log:
        ratio = math.pow(high / low, steps / gaps)
        return high * ratio if edge.larger else low / ratio
    step = steps * (high - low) / gaps
    return high + step if edge.larger else low - step


def _next(values: Sequence[float], edge: Edge, rows: int) -> float | None:
    """Return the value that follows on listed ones, None if there is none."""
    if edge.name == "batch_size":
        size = 2 * int(values[-1]) if edge.larger else int(values[0]) // 2
        return size if 1 <= size <= rows else None
    last, before = (values[-1], values[-2]) if edge.larger else (values[0], values[1])
    ratio = last / before if before else 0.0
    value = float(f"{last * ratio:.{SIGNIFICANT_DIGITS}g}")
    return value if 0 < value <= LARGEST and value != last else None
