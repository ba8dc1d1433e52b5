"""A study file: TOML, validated into a `StudySpec`, with its digest and its differences."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from core.result import Hyperparameters
from core.softmax import Penalty
from search.errors import StudyFileError
from search.spec_errors import sentence, shortened

STUDIES = Path("studies")
MAX_BYTES = 1 << 20
LARGEST = 1e6  # of a learning rate or weight decay
MAX_TRIALS = 1_000_000  # of a study: all of them are kept in memory
CLOSEST = 512  # floats from one point of a range to the next, so that rounding merges no two

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


def _distinct(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    seen: set[_Value] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{shortened(value)} is listed twice: list each value once")
        seen.add(value)
    return values


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Table):
    """An interval of values; ``points`` of them make a grid."""

    low: Number
    high: Number
    log: Annotated[bool, Field(strict=True)] = False
    points: Annotated[Integer, Field(ge=2, le=10_000)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
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
    if isinstance(axis, Range) and axis.low <= 0:
        raise ValueError(f"low = {axis.low:g} must be greater than 0")
    return _bounded(axis)


def _not_negative(axis: Range | tuple[float, ...]) -> Range | tuple[float, ...]:
    if isinstance(axis, Range) and axis.low < 0:
        raise ValueError(f"low = {axis.low:g} must not be negative")
    return _bounded(axis)


def _bounded(axis: Range | tuple[float, ...]) -> Range | tuple[float, ...]:
    if isinstance(axis, Range) and axis.high > LARGEST:
        raise ValueError(f"high = {axis.high:g} must be {LARGEST:g} at most")
    return axis


_by_shape = Discriminator(lambda axis: "range" if isinstance(axis, dict | Range) else "values")
_Values = Annotated[tuple[Decay, ...], Field(min_length=1), AfterValidator(_distinct)]
_Rates = Annotated[tuple[Rate, ...], Field(min_length=1), AfterValidator(_distinct)]
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


class DataSpec(_Table):
    source: Line = Field(min_length=1)
    classes: Annotated[tuple[Label, ...], Field(min_length=2), AfterValidator(_distinct)] | None = (
        None
    )
    validation_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    seed: Seed = 0


class ModelSpec(_Table):
    penalty: Penalty = Penalty.NORM
    epochs: Annotated[Integer, Field(ge=1, le=100_000)] = 100
    seed: Seed = 0


class SpaceSpec(_Table):
    learning_rate: RateAxis
    weight_decay: DecayAxis
    batch_size: Annotated[tuple[BatchSize, ...], Field(min_length=1), AfterValidator(_distinct)]

    def combinations(self) -> int:
        """Points of the grid, counted without making them."""

        def count(axis: Range | tuple[float, ...]) -> int:
            return (axis.points or 1) if isinstance(axis, Range) else len(axis)

        return count(self.learning_rate) * count(self.weight_decay) * len(self.batch_size)


class SearchSpec(_Table):
    """sampler: how configurations are chosen. trials: how many (a grid has its own number).
    cohort: how many are chosen together, before any of their results is known."""

    sampler: Literal["grid", "random", "tpe"] = "grid"
    objective: Literal["val_loss", "val_accuracy"] = "val_loss"
    trials: Annotated[Integer, Field(ge=1, le=MAX_TRIALS)] | None = None
    cohort: Annotated[Integer, Field(ge=1, le=100_000)] = 32
    seed: Seed = 0


class Baseline(_Table):
    learning_rate: Rate
    weight_decay: Decay
    batch_size: BatchSize

    def hyperparameters(self) -> Hyperparameters:
        return Hyperparameters(self.learning_rate, self.weight_decay, self.batch_size)


class StudySpec(_Table):
    """A validated study file."""

    name: Name
    description: Line = ""
    data: DataSpec
    model: ModelSpec = ModelSpec()
    space: SpaceSpec
    search: SearchSpec = SearchSpec()
    baseline: Baseline | None = None

    _file: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.search.sampler == "grid":
            for key in ("learning_rate", "weight_decay"):
                axis = getattr(self.space, key)
                if isinstance(axis, Range) and axis.points is None:
                    raise ValueError(f"space.{key}.points is missing: a grid needs it")
            if self.search.trials is not None:
                raise ValueError(
                    f"search.trials = {self.search.trials}: a grid runs all its points; "
                    'leave trials out, or choose sampler = "random" or "tpe"'
                )
            if (combinations := self.space.combinations()) > MAX_TRIALS:
                raise ValueError(
                    f"space: a grid of {combinations:,} combinations is more than the "
                    f'{MAX_TRIALS:,} allowed: give fewer points, or choose sampler = "random"'
                )
        elif self.search.trials is None:
            raise ValueError(
                f'search.trials is missing: sampler = "{self.search.sampler}" needs a number'
                " of trials"
            )
        return self

    @property
    def file(self) -> Path:
        """Where the study was read."""
        return self._file

    @property
    def budget(self) -> int:
        """Trials that the study is to have in the end."""
        return self.search.trials or self.space.combinations()

    def source(self) -> str:
        """`data.source`; a file's path is taken from the study file's folder, if it is there."""
        beside = self._file.parent / self.data.source
        return (
            str(beside)
            if self.data.source.endswith(".npz") and beside.is_file()
            else self.data.source
        )

    def defining(self) -> dict[str, Any]:
        """What decides the trials and their numbers, as plain JSON values.

        The description, the baseline and the number of trials may change under a running study.
        """
        return self.model_dump(
            mode="json",
            exclude={"name": True, "description": True, "baseline": True, "search": {"trials"}},
        )

    def digest(self) -> str:
        """sha256 of `defining`, hexadecimal."""
        canonical = json.dumps(self.defining(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What changed between two `StudySpec.defining`, one "key: old → new" each."""

    def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        leaves: dict[str, Any] = {}
        for key, value in table.items():
            nested = isinstance(value, dict)
            leaves |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
        return leaves

    before, after = flat(old), flat(new)
    return [
        f"{key}: {json.dumps(before.get(key))} → {json.dumps(after.get(key))}"
        for key in sorted(before | after)
        if before.get(key) != after.get(key)
    ]


def find(study: str) -> Path:
    """The study file that a user names: its path, or its bare name when it is in ``studies/``.

    Raises StudyFileError when there is none.
    """
    path = Path(study)
    try:
        if path.is_file():
            return path
        bare = STUDIES / f"{study}.toml"
        if path.name == study and bare.is_file():
            return bare
    except (OSError, ValueError):
        pass  # a name that no file can have
    known = ", ".join(sorted(each.stem for each in STUDIES.glob("*.toml")))
    hint = f"in {STUDIES}/ there are: {known}" if known else "give the path of a study file"
    raise StudyFileError(f"{shortened(study)}: no such study file; {hint}")


def load(path: Path) -> StudySpec:
    """Read and validate a study file. Raises StudyFileError with one sentence."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise StudyFileError(f"{path}: larger than 1 MiB, which no study file is")
        table = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise StudyFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StudyFileError(
            f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StudyFileError(f"{path}: not valid TOML: {error}") from error
    except ValueError as error:  # numbers of thousands of digits
        raise StudyFileError(f"{path}: not valid TOML: {shortened(str(error))}") from error
    try:
        spec = StudySpec.model_validate(table)
    except ValidationError as error:
        raise StudyFileError(sentence(path, error, StudySpec)) from error
    spec._file = path
    return spec
