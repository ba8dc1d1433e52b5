"""The table [search] of a study file: how configurations are chosen, stopped early and judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from core.trainer.pruning import rungs
from search.spec.fields import MAX_TRIALS, Integer, Number, Seed, Table
from search.spec.objective import Objective

REDUCTION = 3  # the default: the theory's optimum is e
DECISIONS = 2  # where min_epochs is left out: a first rung that comes early favours fast learners
BUDGET = ("trials", "epochs", "minutes")
# Keys that came after studies had been stored.
_LATER = {"pruner": "none", "reduction": None, "min_epochs": None, "replicates": 1}

Count = Annotated[Integer, Field(ge=1, le=MAX_TRIALS)]


class SearchSpec(Table):
    """sampler: how configurations are chosen.
    trials, epochs, minutes: the budget of a sampler, whichever ends first: trials; epochs trained,
        summed over trials; wall time. A grid runs all its points.
    cohort: how many trials are chosen together, before any of their results is known, and compared
        at the rungs. Larger cohorts fill larger stacks, so that a trial trains at less cost, and
        give a pruner more to choose from; smaller ones let the sampler learn more often.
    pruner, reduction, min_epochs: whether and how trials are stopped early (see `pruning.py`).
    replicates: seeds that each configuration is trained under; it is ranked by the mean.
    finalists: the best trials that are judged again on fresh seeds before one is named the winner.
    """

    sampler: Literal["grid", "random", "qmc", "tpe", "cmaes", "gp"] = "grid"
    objective: Objective = Objective.LOSS
    trials: Count | None = None
    epochs: Annotated[Integer, Field(ge=1, le=10**12)] | None = None
    minutes: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    cohort: Annotated[Integer, Field(ge=1, le=100_000)] = 32
    pruner: Literal["none", "halving", "hyperband"] = "none"
    reduction: Annotated[Integer, Field(ge=2, le=100)] | None = None
    min_epochs: Count | None = None
    replicates: Annotated[Integer, Field(ge=1, le=100)] = 1
    finalists: Annotated[Integer, Field(ge=0, le=1000)] = 0
    seed: Seed = 0

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Epochs after which trials are compared; the last one is their full training."""
        if self.pruner == "none":
            return (epochs,)
        eta = self.eta
        return rungs(self.min_epochs or max(1, epochs // eta**DECISIONS), eta, epochs)

    @property
    def eta(self) -> int:
        """The reduction factor."""
        return self.reduction or REDUCTION

    @property
    def appends(self) -> bool:
        """Whether trials finish in the order of their numbers, which are then given at the end."""
        return self.sampler == "grid" and self.pruner == "none"

    def defining(self) -> dict[str, Any]:
        """What decides the trials and their numbers, as plain JSON values."""
        dumped = self.model_dump(mode="json", exclude={*BUDGET, "finalists"})
        return {
            key: value for key, value in dumped.items() if key not in _LATER or value != _LATER[key]
        }

    def check(self, epochs: int) -> None:
        """Raises ValueError where these keys contradict each other or model.epochs."""
        if self.sampler == "grid":
            for key in BUDGET:
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
