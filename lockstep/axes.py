"""The ranges of values that a study searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values, from low to high.

    points: how many values of it a grid has; None if a sampler draws from the whole range.
    log: whether equal steps multiply the value instead of adding to it.
    """

    low: float
    high: float
    points: int | None = None
    log: bool = False

    def table(self) -> dict[str, float | int | bool]:
        """Return the range as a study file gives it."""
        points = {} if self.points is None else {"points": self.points}
        return {"low": float(self.low), "high": float(self.high), "log": self.log, **points}


Values = Axis | Sequence[float] | float  # what may be given for a hyperparameter that is searched


def log(low: float, high: float, points: int | None = None) -> Axis:
    """Return a range in whose grid each value is the one before, times a constant.

    points: how many values a grid has; leave it out for a sampler such as "tpe".
    """
    return Axis(low, high, points, log=True)


def linear(low: float, high: float, points: int | None = None) -> Axis:
    """Return a range in whose grid each value is the one before, plus a constant.

    points: how many values a grid has; leave it out for a sampler such as "tpe".
    """
    return Axis(low, high, points)
