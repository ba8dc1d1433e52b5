"""The keyword arguments of a study as the tables of a study file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from lockstep.axes import Axis

# The table of each argument. Its key there has the same name, unless `_KEYS` gives another one.
TABLES: Mapping[str, tuple[str, ...]] = {
    "data": (
        "classes", "categorical", "ignore", "scale", "validation_fraction", "folds", "order",
    ),
    "model": (
        "penalty", "epochs", "bias", "momentum", "schedule", "warmup_epochs", "class_weight",
    ),
    "space": ("learning_rate", "weight_decay", "batch_size"),
    "search": (
        "sampler", "objective", "trials", "total_epochs", "minutes", "patience",
        "regret", "cohort", "pruner",
        "reduction", "min_epochs", "replicates", "finalists", "keep_weights",
    ),
}  # fmt: skip
_KEYS = {"total_epochs": "epochs"}
_LISTS = ("learning_rate", "weight_decay", "batch_size", "classes", "ignore")
_SEEDED = ("data", "model", "search")


def tables_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables that options stand for; None leaves a key out.

    seed: that of the division, of the order of the examples, and of the sampler. baseline: the name
    of a solver, or the table itself.
    """
    given = {name: plain(value) for name, value in options.items() if value is not None}
    found: dict[str, Any] = {}
    if "description" in given:
        found["description"] = given["description"]
    for table, names in TABLES.items():
        its = [name for name in names if name in given]
        keys = {_KEYS.get(name, name): _listed(name, given[name]) for name in its}
        if "seed" in given and table in _SEEDED:
            keys["seed"] = given["seed"]
        if keys:
            found[table] = keys
    if (baseline := given.get("baseline")) is not None:
        found["baseline"] = {"solver": baseline} if isinstance(baseline, str) else baseline
    return found


def plain(value: Any) -> Any:
    """Return a value as plain numbers, texts, lists and tables, as a study file has them."""
    if isinstance(value, Axis):
        return value.table()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if hasattr(value, "tolist"):  # of NumPy, pandas or torch
        return plain(value.tolist())
    if isinstance(value, list | tuple | range | set | frozenset):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value


def _listed(name: str, value: Any) -> Any:
    """Return the value of an argument; a single one where a list is needed as a list of one."""
    single = name in _LISTS and not isinstance(value, list | dict)
    return [value] if single else value
