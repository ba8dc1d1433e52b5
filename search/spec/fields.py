"""What the tables of a study file are made of: strict numbers, names, lists of distinct values."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from search.spec.messages import shortened

LARGEST = 1e6  # of a learning rate or weight decay
MAX_TRIALS = 1_000_000  # of a study: all of them are kept in memory

# Strict: a quoted "0.1" or a true is a mistake in a study file, not a number.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Integer = Annotated[int, Field(strict=True)]
Rate = Annotated[Number, Field(gt=0, le=LARGEST)]
Decay = Annotated[Number, Field(ge=0, le=LARGEST)]
BatchSize = Annotated[Integer, Field(ge=1, le=10**9)]
Seed = Annotated[Integer, Field(ge=0, lt=2**32)]
Line = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Label = Integer | Line
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


_Value = TypeVar("_Value")


def distinct(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    seen: set[_Value] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{shortened(value)} is listed twice: list each value once")
        seen.add(value)
    return values


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
