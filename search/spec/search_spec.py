"""The table [search] of a study file: how configurations are chosen, stopped early and judged."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from core.trainer.pruning import rung_epochs
from search.spec.fields import MAX_TRIALS, Integer, Number, Seed, Table
from search.spec.messages import shortened
from search.spec.objective import Objective

REDUCTION_FACTOR = 3  # if reduction is left out; in theory the best factor is e
# The number of pruning decisions if min_epochs is left out. More of them would put the first rung
# earlier, which favours trials that learn fast.
DECISIONS = 2
BUDGET = ("trials", "epochs", "minutes")
STOPPING = ("patience", "regret")  # They may end a search before its budget is spent.
# These keys were added when studies had been stored already.
_LATER = {"pruner": "none", "reduction": None, "min_epochs": None, "replicates": 1}

SAMPLERS = ("grid", "random", "qmc", "tpe", "cmaes", "gp")
HUB = "hub:"  # before the name of a sampler of OptunaHub
_OF_HUB = re.compile(r"hub:[a-z0-9_]{1,64}(@[A-Za-z0-9._-]{1,64})?")

Count = Annotated[Integer, Field(ge=1, le=MAX_TRIALS)]


def _count_or_all(value: object) -> object:
    """Return the value of keep_weights. Raises ValueError if it is neither a number nor "all"."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_TRIALS
    if is_count or value in ("all", None):
        return value
    raise ValueError(
        f'{shortened(value)}: give "all", or of how many of the best trials the weights are kept: '
        "1 or more"
    )


def _sampler(value: object) -> object:
    """Return the name of a sampler. Raises PydanticCustomError if there is none of this name."""
    if isinstance(value, str) and (value in SAMPLERS or _OF_HUB.fullmatch(value)):
        return value
    names = ", ".join(map(repr, SAMPLERS))
    expected = f"{names}, or one of OptunaHub's, such as 'hub:de' or, of a commit, 'hub:de@0123abc'"
    raise PydanticCustomError("literal_error", "must be {expected}", {"expected": expected})


class SearchSpec(Table):
    """The table [search].

    sampler: how configurations are chosen: one of `SAMPLERS`, or one of OptunaHub.
    trials, epochs, minutes: the budget of a sampler, which ends at the first limit reached: the
        number of trials, the epochs trained over all trials, the wall time. A grid runs all its
        points.
    patience: after how many trials that were no better than the best the search ends.
    regret: the search ends once the best of the space is probably within this of the best trial, in
        the unit of the objective.
    cohort: how many trials are chosen together, before any of their results is known, and compared
        at the rungs. Larger cohorts fill larger stacks, which costs less per trial, and give a
        pruner more trials to choose from. With smaller cohorts the sampler learns more often.
    pruner, reduction, min_epochs: whether and how trials are stopped early (see `pruning.py`).
    replicates: the number of seeds for each configuration, which is ranked by the mean over them.
    finalists: how many of the best trials are trained again on fresh seeds to find the winner.
    keep_weights: of how many of the best trials the weights are kept, or "all"; by default, see
        `kept_weights.py`.
    """

    sampler: Annotated[str, BeforeValidator(_sampler)] = "grid"
    objective: Objective = Objective.LOSS
    trials: Count | None = None
    epochs: Annotated[Integer, Field(ge=1, le=10**12)] | None = None
    minutes: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    patience: Count | None = None
    regret: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    cohort: Annotated[Integer, Field(ge=1, le=100_000)] = 32
    pruner: Literal["none", "halving", "hyperband"] = "none"
    reduction: Annotated[Integer, Field(ge=2, le=100)] | None = None
    min_epochs: Count | None = None
    replicates: Annotated[Integer, Field(ge=1, le=100)] = 1
    finalists: Annotated[Integer, Field(ge=0, le=1000)] = 0
    keep_weights: Annotated[Literal["all"] | int | None, BeforeValidator(_count_or_all)] = None
    seed: Seed = 0

    def rung_epochs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs at which trials are compared; the last one is the full training.

        epochs: those of the full training.
        """
        if self.pruner == "none":
            return (epochs,)
        factor = self.reduction_factor
        first = self.min_epochs or max(1, epochs // factor**DECISIONS)
        return rung_epochs(first, factor, epochs)

    @property
    def reduction_factor(self) -> int:
        """The reduction factor η: the key ``reduction``, or its default."""
        return self.reduction or REDUCTION_FACTOR

    @property
    def appends(self) -> bool:
        """Whether trials finish in the order of their numbers. Optuna then gets each at its end."""
        return self.sampler == "grid" and self.pruner == "none"

    def defining(self) -> dict[str, Any]:
        """Return the keys that decide the trials and their numbers, as plain JSON values."""
        dumped = self.model_dump(
            mode="json", exclude={*BUDGET, *STOPPING, "finalists", "keep_weights"}
        )
        return {
            key: value for key, value in dumped.items() if key not in _LATER or value != _LATER[key]
        }

    def check(self, epochs: int) -> None:
        """Raise ValueError if these keys contradict each other or ``epochs``.

        epochs: those of the full training.
        """
        if self.sampler == "grid":
            for key in (*BUDGET, *STOPPING):
                if (value := getattr(self, key)) is not None:
                    raise ValueError(
                        f"search.{key} = {value}: a grid runs all its points; leave {key} out, or "
                        'choose another sampler, such as "random" or "tpe"'
                    )
            if "cohort" in self.model_fields_set:
                raise ValueError(
                    f"search.cohort = {self.cohort}: a grid is one cohort; leave cohort out"
                )
        elif all(getattr(self, key) is None for key in BUDGET):
            raise ValueError(
                f'search.trials is missing: sampler = "{self.sampler}" needs a budget of trials, '
                "epochs or minutes"
            )
        one = epochs * self.replicates
        if self.epochs is not None and self.epochs < one:
            raise ValueError(
                f"search.epochs = {self.epochs}: one trial alone takes {one} (model.epochs × "
                "search.replicates); give more"
            )
        if self.trials is not None and self.finalists > self.trials:
            raise ValueError(
                f"search.finalists = {self.finalists}: there are only {self.trials} trials"
            )
        if self.pruner == "none":
            for key in ("reduction", "min_epochs"):
                if (value := getattr(self, key)) is not None:
                    raise ValueError(
                        f"search.{key} = {value}: nothing is pruned; leave it out, or choose "
                        'pruner = "halving" or "hyperband"'
                    )
        elif (self.min_epochs or 1) >= epochs:
            raise ValueError(
                f"search.min_epochs = {self.min_epochs or 1}: must be less than model.epochs = "
                f"{epochs}, or there is nothing to prune"
            )
