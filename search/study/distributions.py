"""Convert a study's search space to Optuna's distributions."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from search.spec.axes import Range
from search.spec.study_spec import StudySpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions(spec: StudySpec) -> dict[str, BaseDistribution]:
    """Return the search space as distributions, by field of `Hyperparameters`."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    def continuous(axis: Range | tuple[float, ...]) -> BaseDistribution:
        if isinstance(axis, Range):
            return FloatDistribution(axis.low, axis.high, log=axis.log)
        return CategoricalDistribution(axis)

    space = spec.space
    return {
        "learning_rate": continuous(space.learning_rate),
        "weight_decay": continuous(space.weight_decay),
        "batch_size": CategoricalDistribution(space.batch_size),
        **{
            name: CategoricalDistribution(tuple(map(plain, values)))
            for name, values in spec.searched().items()
        },
    }


def plain(value: Any) -> Any:
    """Return a value as Optuna stores it: texts instead of members of an enumeration."""
    return value.value if isinstance(value, Enum) else value
