"""A validated study file: `StudySpec`, its digest, and the differences between two."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    Tag,
    model_validator,
)

from core.datasets.source import Source, suffix_of
from core.datasets.study_data import ONLY
from core.trainer.learning_rate import Schedule
from core.trainer.result import Hyperparameters
from search.spec.axes import DecayAxis, Range, RateAxis, checked_list
from search.spec.budget import expected_trials
from search.spec.data_spec import FILES, DataSpec
from search.spec.feature_files import changes
from search.spec.fields import (
    MAX_TRIALS,
    BatchSize,
    Decay,
    Line,
    Name,
    Rate,
    Table,
    distinct,
)
from search.spec.model_spec import ModelSpec, Momentum, Switch, Warmup
from search.spec.recorded import Variant
from search.spec.search_spec import SearchSpec
from search.spec.solver_baseline import Features, SolverBaseline, by_form, check_known

STUDIES = Path("studies")  # Studies in this folder can be named without folder and suffix.


class SpaceSpec(Table):
    """The table [space]: the values of each hyperparameter that may be tried."""

    learning_rate: RateAxis
    weight_decay: DecayAxis
    batch_size: Annotated[
        tuple[BatchSize, ...],
        Field(min_length=1),
        BeforeValidator(checked_list),
        AfterValidator(distinct),
    ]


class Baseline(Table):
    """The table [baseline]: a known configuration to compare the search with.

    What it does not name is as in [model], or the first of the values that are searched.
    """

    learning_rate: Rate
    weight_decay: Decay
    batch_size: BatchSize
    features: Features | None = None
    bias: Switch | None = None
    momentum: Momentum | None = None
    schedule: Schedule | None = None
    warmup_epochs: Warmup | None = None

    def hyperparameters(self, spec: StudySpec) -> Hyperparameters:
        """Return the baseline as hyperparameters of the trainer."""
        own = {name: value for name, value in self if value is not None}
        first = {name: values[0] for name, values in spec.searched().items()}
        return spec.hyperparameters(first | own)


class StudySpec(Table):
    """A validated study file."""

    name: Name
    description: Line = ""
    data: DataSpec
    model: ModelSpec = ModelSpec()
    space: SpaceSpec
    search: SearchSpec = SearchSpec()
    baseline: (
        Annotated[
            Annotated[Baseline, Tag("a configuration")]
            | Annotated[SolverBaseline, Tag("with a solver")],
            by_form,
        ]
        | None
    ) = None

    _file: Path = PrivateAttr(default=Path())
    _variant: Variant | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Return the study. Raises ValueError if its tables contradict each other."""
        if self.search.sampler == "grid":
            for key in ("learning_rate", "weight_decay"):
                axis = getattr(self.space, key)
                if isinstance(axis, Range) and axis.points is None:
                    raise ValueError(f"space.{key}.points is missing: a grid needs it")
            if (combinations := self.combinations()) > MAX_TRIALS:
                raise ValueError(
                    f"space: a grid of {combinations:,} combinations is more than the "
                    f'{MAX_TRIALS:,} allowed: give fewer points, or choose sampler = "random"'
                )
        axes = (self.space.learning_rate, self.space.weight_decay)
        if self.search.sampler == "cmaes" and not any(isinstance(axis, Range) for axis in axes):
            raise ValueError(
                'search.sampler = "cmaes" moves along ranges, and space has lists only: give '
                'learning_rate or weight_decay as { low, high }, or choose sampler = "tpe"'
            )
        self.search.check(self.model.epochs)
        if self.baseline is not None:
            check_known(self.baseline.features, self.data.features)
        return self

    @property
    def file(self) -> Path:
        """The path of the file that the study was read from."""
        return self._file

    @property
    def variant(self) -> Variant | None:
        """How the study differs from its file, None if it does not."""
        return self._variant

    @property
    def folder(self) -> Path:
        """The folder from which the study's data files are named."""
        variant = self._variant
        return self._file.parent if variant is None else variant.folder

    @property
    def argument(self) -> str:
        """What names the study on the command line: its bare name in `STUDIES`, or its file."""
        named = self._variant is not None and self._variant.is_named
        if not self._file.name or named:
            return self.name  # It was not read from a file, or it is found by its record.
        in_studies = self._file.parent == STUDIES
        return self._file.stem if in_studies else shlex.quote(str(self._file))

    def combinations(self) -> int:
        """Return the number of points of the grid, without making them."""

        def count(axis: Range | tuple[Any, ...]) -> int:
            return (axis.points or 1) if isinstance(axis, Range) else len(axis)

        space = self.space
        axes = (space.learning_rate, space.weight_decay, space.batch_size)
        return prod(map(count, (*axes, *self.searched().values())))

    def searched(self) -> dict[str, tuple[Any, ...]]:
        """Return the values of each hyperparameter outside [space] that is searched, by its name:
        the sets of features if the data has several, and what [model] lists."""
        features = {} if self.data.features is None else {"features": tuple(self.data.features)}
        return features | self.model.searched()

    def configurations(self) -> int | None:
        """Return how many configurations there are to try; None if a sampler draws from a range."""
        axes = (self.space.learning_rate, self.space.weight_decay)
        drawn = self.search.sampler != "grid" and any(isinstance(axis, Range) for axis in axes)
        return None if drawn else self.combinations()

    def hyperparameters(self, tried: dict[str, Any]) -> Hyperparameters:
        """Return a trial's hyperparameters. tried: those that it does not share with all."""
        return self.model.hyperparameters(tried)

    @property
    def budget(self) -> int | None:
        """The number of trials that the study will have in the end; None if only time limits it.

        There will be more trials if some diverge early and leave epochs over.
        """
        if self.search.sampler == "grid":
            return self.combinations()
        return expected_trials(self.search, self.model.epochs)

    def data_sources(self) -> dict[str, Source]:
        """Return what is to be read, by the names of the sets of features, `ONLY` without names.

        A data file that is in the study file's folder is named by its path there.
        """
        if self.data.features is None:
            return {ONLY: self._source(self.data.source)}
        return {name: self._source(file) for name, file in self.data.features.items()}

    def _source(self, name: str) -> Source:
        """Return what is to be read from a data set or file of this name."""
        data = self.data
        is_array = suffix_of(name) == ".npy"
        paths = (data.labels, data.split, data.groups)
        labels, split, groups = (
            self._beside(path) if path and is_array else path for path in paths
        )
        return Source(
            name=self._beside(name),
            label=data.label,
            labels=labels,
            split=split,
            groups=groups,
            categorical=data.categorical,
            ignore=data.ignore,
            mapped=data.features is not None,
        )

    def _beside(self, name: str) -> str:
        """Return the path of a data file in the study file's folder, or the name as it is."""
        beside = self.folder / name
        return str(beside) if suffix_of(name) in FILES and beside.is_file() else name

    def defining(self) -> dict[str, Any]:
        """Return everything that decides the trials and their numbers, as plain JSON values.

        The description, the baseline, the budget and what ends the search before it, the finalists
        and whose weights are kept may change during a study. Keys that were added later are left
        out while they have their defaults, so that older studies keep their digests.
        """
        defining = self.model_dump(
            mode="json", exclude={"name": True, "description": True, "baseline": True}
        )
        defining["data"] = self.data.defining()
        defining["model"] = self.model.defining()
        defining["search"] = self.search.defining()
        return defining

    def with_model(self, **changes: Any) -> StudySpec:
        """Return this study with other values in [model]."""
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    def digest(self) -> str:
        """Return the SHA-256 of `defining`, hexadecimal."""
        canonical = json.dumps(self.defining(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def known_keys() -> list[str]:
    """Return the keys of a study file, joined by dots; of [baseline], which has several forms, only
    the table."""
    found = []
    for name, field in StudySpec.model_fields.items():
        table = field.annotation
        if isinstance(table, type) and issubclass(table, Table):
            found += [f"{name}.{key}" for key in table.model_fields]
        elif name != "name":
            found.append(name)
    return found


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what differs between two `StudySpec.defining`, as one "key: old → new" per key."""
    return list(changed_keys(old, new).values())


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return what differs between two `StudySpec.defining`: "key: old → new", by key.

    Of the files of features it says which were added or removed, because there may be many.
    """

    def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        leaves: dict[str, Any] = {}
        for key, value in table.items():
            nested = isinstance(value, dict)
            leaves |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
        return leaves

    before, after = flat(old), flat(new)
    found: dict[str, str] = {}
    for key in sorted(before | after):
        was, now = before.get(key), after.get(key)
        if was == now:
            continue
        if key == "data.features":
            found[key] = f"{key}: {changes(was, now)}"
        else:
            found[key] = f"{key}: {json.dumps(was)} → {json.dumps(now)}"
    return found
