"""The small study of the tests: 24 trials on two digits, which train within milliseconds."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

import tomli_w

from search.spec.study_spec import StudySpec

SMALL_TRIALS = 24  # of its grid

_DEFAULTS: dict[str, Any] = {
    "name": "small",
    "description": "a small study",
    "data": {"source": "digits", "classes": [3, 6], "validation_fraction": 0.25, "seed": 0},
    "model": {"penalty": "norm", "bias": False, "epochs": 5, "seed": 0},
    "space": {
        "learning_rate": {"low": 1e-3, "high": 1.0, "log": True, "points": 4},
        "weight_decay": {"low": 0.0, "high": 0.5, "points": 3},
        "batch_size": [16, 8],
    },
    "search": {"sampler": "grid", "objective": "val_loss", "seed": 0},
    "baseline": {"learning_rate": 0.001, "weight_decay": 0.0001, "batch_size": 16},
}
_TABLES = {
    "data": ("source", "classes", "validation_fraction"),
    "model": ("penalty", "epochs", "bias", "momentum", "schedule", "warmup_epochs", "class_weight"),
    "space": ("learning_rate", "weight_decay", "batch_size"),
    "search": (
        "sampler",
        "objective",
        "trials",
        "minutes",
        "patience",
        "regret",
        "cohort",
        "pruner",
        "reduction",
    )
    + ("min_epochs", "replicates", "finalists", "keep_weights"),
}
_TABLE_OF = {option: table for table, options in _TABLES.items() for option in options}

Axis = Mapping[str, object] | Sequence[float]  # {"low": …, "high": …, …}, or the values
NO_KEYS: Mapping[str, object] = MappingProxyType({})


class Options(TypedDict, total=False):
    """The keys of a study file that tests set most often; None leaves a key out."""

    name: str
    description: str
    source: str
    classes: Sequence[int | str] | None
    validation_fraction: float
    penalty: str
    epochs: int
    bias: bool | Sequence[bool]
    momentum: float | Sequence[float]
    schedule: str | Sequence[str]
    warmup_epochs: int | Sequence[int]
    class_weight: str
    learning_rate: Axis
    weight_decay: Axis
    batch_size: Sequence[int]
    sampler: str
    objective: str
    trials: int | None
    minutes: float | None
    patience: int
    regret: float
    cohort: int | None
    pruner: str
    reduction: int
    min_epochs: int
    replicates: int
    finalists: int
    keep_weights: int | str | None


# A study of two trials, where more would show nothing else.
FEW: Options = {"learning_rate": [0.1, 1.0], "weight_decay": [0.0], "batch_size": [16]}


def small_study(keys: Mapping[str, object] = NO_KEYS, /, **options: Unpack[Options]) -> str:
    """Return the small study, with these options, as the text of a study file.

    keys: more keys by their full names, such as "data.seed" or "baseline", with any value, a wrong
        one too; they may be unknown keys. None leaves a key out.
    """
    table = copy.deepcopy(_DEFAULTS)
    named = {
        f"{_TABLE_OF[option]}.{option}" if option in _TABLE_OF else option: value
        for option, value in options.items()
    }
    for name, value in (named | dict(keys)).items():
        *parents, key = name.split(".")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
        if value is None:
            inner.pop(key, None)
        else:
            inner[key] = value
    return tomli_w.dumps(table)


def damaged(old: str, new: str, text: str = small_study()) -> str:
    """Return a study's text with ``new`` in the place of the first ``old``.

    It is for what is wrong, or unusual, in the text itself: its syntax, its encoding, the way in
    which a number is written.
    """
    assert old in text, f"the study has no {old!r}"
    return text.replace(old, new, 1)


def small_spec(keys: Mapping[str, object] = NO_KEYS, /, **options: Unpack[Options]) -> StudySpec:
    """Return the small study, with these options, as it is after loading."""
    return StudySpec.model_validate(tomllib.loads(small_study(keys, **options)))


def write_study(folder: Path, text: str = small_study()) -> Path:
    """Write a study, by default the small one as it is, to the folder's ``study.toml``."""
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path
