"""Convert a study's search space to Optuna's distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.spec.axes import Range
from search.spec.study_spec import SpaceSpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions(space: SpaceSpec) -> dict[str, BaseDistribution]:
    """Return the search space as distributions; the keys are the fields of `Hyperparameters`."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    def continuous(axis: Range | tuple[float, ...]) -> BaseDistribution:
        if isinstance(axis, Range):
            return FloatDistribution(axis.low, axis.high, log=axis.log)
        return CategoricalDistribution(axis)

    return {
        "learning_rate": continuous(space.learning_rate),
        "weight_decay": continuous(space.weight_decay),
        "batch_size": CategoricalDistribution(space.batch_size),
    }
