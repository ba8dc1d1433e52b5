"""The axes of a search space: ranges, and lists of values."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from search.spec.fields import (
    LARGEST,
    Decay,
    Integer,
    Number,
    Rate,
    Table,
    distinct,
)

CLOSEST = 512  # the fewest floats between two points of a range, so that rounding merges none


class Range(Table):
    """An interval of values; a grid has ``points`` values from it."""

    low: Number
    high: Number
    log: Annotated[bool, Field(strict=True)] = False
    points: Annotated[Integer, Field(ge=2, le=10_000)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        """Return the range. Raises ValueError if it is empty, or too narrow for its points."""
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be less than high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low:g} cannot start a log range: give one above 0")
        steps = (self.points or 1) - 1
        if self.high - self.low < steps * CLOSEST * math.ulp(self.high):
            raise ValueError(
                f"low = {self.low!r} and high = {self.high!r} are too close for {self.points} "
                "points: give fewer, or a wider range"
            )
        return self


def _above_zero(axis: Range | tuple[float, ...]) -> Range | tuple[float, ...]:
    """Return the axis. Raises ValueError if its range is not within (0, LARGEST]."""
    if isinstance(axis, Range) and axis.low <= 0:
        raise ValueError(f"low = {axis.low:g} must be greater than 0")
    return _bounded(axis)


def _not_negative(axis: Range | tuple[float, ...]) -> Range | tuple[float, ...]:
    """Return the axis. Raises ValueError if its range is not within [0, LARGEST]."""
    if isinstance(axis, Range) and axis.low < 0:
        raise ValueError(f"low = {axis.low:g} must not be negative")
    return _bounded(axis)


def _bounded(axis: Range | tuple[float, ...]) -> Range | tuple[float, ...]:
    """Return the axis. Raises ValueError if its range ends above LARGEST."""
    if isinstance(axis, Range) and axis.high > LARGEST:
        raise ValueError(f"high = {axis.high:g} must be {LARGEST:g} at most")
    return axis


def checked_list(sizes: object) -> object:
    """Return the batch sizes. Raises ValueError if they are given as a range."""
    if isinstance(sizes, dict):
        raise ValueError(
            "a stack of trials shares one batch size, and sizes from a range would hardly ever "
            "recur: list the sizes to try, such as [32, 64, 128]"
        )
    return sizes


_by_shape = Discriminator(lambda axis: "range" if isinstance(axis, dict | Range) else "values")
_Values = Annotated[tuple[Decay, ...], Field(min_length=1), AfterValidator(distinct)]
_Rates = Annotated[tuple[Rate, ...], Field(min_length=1), AfterValidator(distinct)]

RateAxis = Annotated[
    Annotated[Range, Tag("range")] | Annotated[_Rates, Tag("values")],
    _by_shape,
    AfterValidator(_above_zero),
]

DecayAxis = Annotated[
    Annotated[Range, Tag("range")] | Annotated[_Values, Tag("values")],
    _by_shape,
    AfterValidator(_not_negative),
]
