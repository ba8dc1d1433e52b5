"""A configuration in words."""

from __future__ import annotations

from core.trainer.result import Hyperparameters
from search.spec.study_spec import StudySpec
from search.wording import counted


def configuration(tried: Hyperparameters, spec: StudySpec) -> str:
    """Return a configuration in words, with every hyperparameter that the study searches."""
    return ", ".join(
        [
            f"learning rate {tried.learning_rate:.4g}",
            f"weight decay {tried.weight_decay:.4g}",
            f"batch {tried.batch_size}",
            *searched_values(tried, spec),
        ]
    )


def searched_values(tried: Hyperparameters, spec: StudySpec) -> list[str]:
    """Return the values, in words, of those hyperparameters that are searched beside [space]."""
    words = method_in_words(tried)
    return [words[name] for name in spec.searched()]


def method_in_words(tried: Hyperparameters) -> dict[str, str]:
    """Return, by name, the values of the hyperparameters that a study may search beside [space]."""
    return {
        "features": tried.features,
        "bias": "bias" if tried.bias else "no bias",
        "momentum": f"momentum {tried.momentum:g}",
        "schedule": f"{tried.schedule.value} rate",
        "warmup_epochs": f"warm-up {counted(tried.warmup_epochs, 'epoch')}",
    }
