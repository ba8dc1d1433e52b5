"""The types of the values in a study file: strict numbers, names, and lists of distinct values."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from search.home import unfit
from search.spec.messages import shortened

LARGEST = 1e6  # the largest learning rate or weight decay
MAX_TRIALS = 1_000_000  # All trials of a study are kept in memory.

# Numbers are strict, because a quoted "0.1" or a true is a mistake in a study file.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Integer = Annotated[int, Field(strict=True)]
Rate = Annotated[Number, Field(gt=0, le=LARGEST)]
Decay = Annotated[Number, Field(ge=0, le=LARGEST)]
BatchSize = Annotated[Integer, Field(ge=1, le=10**9)]
Seed = Annotated[Integer, Field(ge=0, lt=2**32)]
Line = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Label = Integer | Line


def _fit(name: str) -> str:
    """Return a study's name unchanged. Raises ValueError if a folder cannot have it."""
    if (reason := unfit(name)) is not None:
        raise ValueError(f"{name!r}: {reason}: give another name")
    return name


_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=_NAME), AfterValidator(_fit)]

_Value = TypeVar("_Value")


def is_name(text: str) -> bool:
    """Return whether a study can have this name."""
    return re.fullmatch(_NAME, text) is not None and unfit(text) is None


def distinct(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    """Return the values unchanged. Raises ValueError if one is listed twice."""
    seen: set[_Value] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{shortened(value)} is listed twice: list each value once")
        seen.add(value)
    return values


class Table(BaseModel):
    """A table of a study file: immutable, with no other keys than its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)
