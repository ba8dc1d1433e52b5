"""A configuration in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.trainer.result import Hyperparameters
from search.spec.study_spec import StudySpec
from search.wording import counted


def configuration(tried: Hyperparameters, spec: StudySpec) -> str:
    """Return a configuration in words, with every hyperparameter that the study searches."""
    return ", ".join(
        [
            *features_value(tried, spec),
            f"learning rate {tried.learning_rate:.4g}",
            f"weight decay {tried.weight_decay:.4g}",
            f"batch {tried.batch_size}",
            *searched_values(tried, spec),
        ]
    )


def values_of(tried: Hyperparameters, spec: StudySpec) -> dict[str, Any]:
    """Return the hyperparameters by name, as JSON and MLflow show them: with the set of features
    only if there are several."""
    values = asdict(tried)
    if not spec.data.several:
        del values["features"]
    return values


def features_value(tried: Hyperparameters, spec: StudySpec) -> list[str]:
    """Return the name of the set of features as a list of one, empty unless there are several."""
    return [tried.features] if spec.data.several else []


def method_names(spec: StudySpec) -> list[str]:
    """Return the names of those hyperparameters that are searched beside [space] and features."""
    return [name for name in spec.searched() if name != "features"]


def searched_values(tried: Hyperparameters, spec: StudySpec) -> list[str]:
    """Return the values, in words, of the hyperparameters of `method_names`."""
    words = method_in_words(tried)
    return [words[name] for name in method_names(spec)]


def method_in_words(tried: Hyperparameters) -> dict[str, str]:
    """Return, by name, the values of the hyperparameters that [model] may search, in words."""
    return {
        "bias": "bias" if tried.bias else "no bias",
        "momentum": f"momentum {tried.momentum:g}",
        "schedule": f"{tried.schedule.value} rate",
        "warmup_epochs": f"warm-up {counted(tried.warmup_epochs, 'epoch')}",
    }
