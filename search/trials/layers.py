"""The best trial of each set of features, such as each layer of a network, and what is shown of it.

The sets of features of a study show the same examples. So their trials are compared example by
example, like those of one set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.statistics.proportions import Interval
from search.spec.objective import Objective


@dataclass(frozen=True, slots=True)
class Layer:
    """The best trial of one set of features, compared with the best trial of all.

    name: that of the set. place: its place in the order of the study file, from 1.
    trials: how many of its trials were compared. trial: the number of the best of them.
    badness, interval: the trial's score, as a loss or an error rate, and its 95 % interval.
    error_rate, error_interval: the same of its error rate.
    val_loss, loss_error, val_accuracy, accuracy_error: the trial's scores, and the standard errors
        of these.
    behind, behind_error: how much worse the badness is, and the standard error of that.
    p_value: the p value of this difference. accuracy_p_value: that of McNemar's test of the two
        trials' accuracies. Both are adjusted by Holm's method over all sets.
    is_tied: whether the trial is statistically indistinguishable from the best.
    is_as_accurate: whether its accuracy is at least that of the best, or indistinguishable.
    chosen: the share of bootstrap samples of the examples that choose a trial of this set.
    """

    name: str
    place: int
    trials: int
    trial: int
    badness: float
    interval: Interval
    error_rate: float
    error_interval: Interval
    val_loss: float
    loss_error: float
    val_accuracy: float
    accuracy_error: float
    behind: float
    behind_error: float
    p_value: float
    accuracy_p_value: float
    is_tied: bool
    is_as_accurate: bool
    chosen: float

    def as_json(self) -> dict[str, Any]:
        """Return all values for a JSON file."""
        values = asdict(self)
        for name in ("badness", "interval", "error_rate", "error_interval"):
            del values[name]
        return values


@dataclass(frozen=True, slots=True)
class Layers:
    """The sets of features that have a completed trial, in the order of the study file.

    examples: the number of validation examples. count: the number of sets in the study file.
    missing: the names of those without a trial that could be compared.
    best: that of the best trial.
    """

    objective: Objective
    examples: int
    count: int
    found: Sequence[Layer]
    missing: Sequence[str]
    best: Layer

    @property
    def tied(self) -> list[Layer]:
        """The others whose best trials are statistically indistinguishable from the best."""
        return [layer for layer in self.found if layer.is_tied and layer is not self.best]

    @property
    def first(self) -> Layer:
        """The first set that reaches the accuracy of the best one."""
        return next(layer for layer in self.found if layer.is_as_accurate)

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "best": self.best.name,
            "tied": [layer.name for layer in self.tied],
            "first_as_accurate": self.first.name,
            "sets": [layer.as_json() for layer in self.found],
            "not_compared": list(self.missing),
        }
