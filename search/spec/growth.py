"""How a study file may change while its study goes on: the space may grow, and the epochs.

Trials that are there keep their numbers, so a grid may only gain values, and a range only become
wider. Everything else decides what the trials are, and may not change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.trainer.learning_rate import Schedule
from search.spec.axes import Range
from search.spec.model_spec import EARLIER, SEARCHABLE, ModelSpec
from search.spec.space import axes
from search.spec.study_spec import SpaceSpec, StudySpec, changed_keys

SHOWN = 3  # the most values that a sentence lists
_RANGES = ("learning_rate", "weight_decay")
# These samplers learn from all trials alike, whatever range they were drawn from.
_WIDENING = ("random", "qmc", "tpe", "gp")
# The suggestions of these do not depend on how good earlier trials were.
_BLIND = ("grid", "random", "qmc")

Defining = Mapping[str, Any]  # what `StudySpec.defining` returns, as JSON keeps it


def as_stored(spec: StudySpec) -> dict[str, Any]:
    """Return what defines a study, as a storage gives it back."""
    stored: dict[str, Any] = json.loads(json.dumps(spec.defining()))
    return stored


def earlier_spec(spec: StudySpec, stored: Defining) -> StudySpec:
    """Return the study as it was when this was stored, with what may change from the file.

    spec: the study as its file is now.
    """
    features = stored["data"].get("features")
    data = spec.data.model_copy(update={"features": None if features is None else dict(features)})
    model = ModelSpec.model_validate({**EARLIER, **stored["model"]})
    space = SpaceSpec.model_validate(stored["space"])
    return spec.model_copy(update={"data": data, "model": model, "space": space})


def obstacles(stored: Defining, spec: StudySpec) -> list[str]:
    """Return why the trials of a study cannot be kept, one text for each difference.

    It is empty if the study has only grown. stored: how the study was defined.
    """
    old = earlier_spec(spec, stored)
    sampler = spec.search.sampler
    changes = changed_keys(stored, as_stored(spec))
    found = []
    for key, change in changes.items():
        aspect = _aspect(key)
        if aspect is None:
            found.append(change)
        elif (why := _why_not(aspect, old, spec, sampler)) is not None:
            found.append(f"{change} ({why})" if why else change)
    return found


def _aspect(key: str) -> str | None:
    """Return what a key of a study file belongs to that may grow, None if it may not."""
    if key in ("data.features", "model.epochs", "space.batch_size"):
        return key.rpartition(".")[2]
    table, _, name = key.partition(".")
    name = name.partition(".")[0]
    if (table == "space" and name in _RANGES) or (table == "model" and name in SEARCHABLE):
        return name
    return None


def _why_not(aspect: str, old: StudySpec, new: StudySpec, sampler: str) -> str | None:
    """Return why this may not change so, "" if it may never change, None if it may."""
    if aspect == "epochs":
        return _why_not_epochs(old, new)
    if sampler == "grid":
        return _why_not_values(aspect, old, new)
    if aspect not in _RANGES:
        return f"a list cannot grow where {_named(sampler)} chooses from it"
    if sampler not in _WIDENING:
        return f"{_named(sampler)} has adapted itself to the range"
    was, now = getattr(old.space, aspect), getattr(new.space, aspect)
    if not isinstance(was, Range) or not isinstance(now, Range) or was.log != now.log:
        return "only a range can grow, as long as log stays as it is"
    if now.low > was.low or now.high < was.high:
        return f"it must still go from {was.low:g} to {was.high:g}"
    return None


def _why_not_values(aspect: str, old: StudySpec, new: StudySpec) -> str | None:
    """Return why a grid cannot have these values of a hyperparameter, None if it can."""
    if aspect == "features":
        before, after = old.data.features or {}, new.data.features or {}
        left_out = [name for name in before if after.get(name) != before[name]]
        return None if before and not left_out else ""
    before_values, after_values = (_values(aspect, each) for each in (old, new))
    missing = [value for value in before_values if value not in after_values]
    if not missing:
        return None
    shown = ", ".join(_shown(value) for value in missing[:SHOWN])
    more = f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
    return f"it leaves out {shown}{more}, which the trials have"


def _values(name: str, spec: StudySpec) -> Sequence[Any]:
    """Return the values of a hyperparameter in a grid, one if it is not searched."""
    return axes(spec).get(name) or [spec.model.fixed()[name]]


def _shown(value: Any) -> str:
    """Return a value of a hyperparameter as a study file has it."""
    return f"{value!r}" if isinstance(value, float) else str(value).lower()


def _why_not_epochs(old: StudySpec, new: StudySpec) -> str | None:
    """Return why trials cannot be trained for more epochs, None if they can."""
    if new.model.epochs < old.model.epochs:
        return "trials can only be trained further"
    schedules = _values("schedule", old)
    if Schedule.COSINE in map(Schedule, schedules):
        return "with the cosine schedule, every step depends on the number of epochs"
    if new.search.pruner != "none":
        return "the rungs at which trials were compared depend on it"
    if new.search.sampler not in _BLIND:
        return f"{_named(new.search.sampler)} chose the trials by their scores after so many"
    return None


def _named(sampler: str) -> str:
    """Return a sampler in words."""
    return f'sampler = "{sampler}"'
