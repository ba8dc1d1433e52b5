"""The table [model] of a study file: how every trial is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from core.datasets.dataset import Dataset
from core.trainer.learning_rate import Schedule
from core.trainer.order import Order
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty, balanced_class_weights
from core.trainer.training_data import TrainingData
from search.spec.fields import Integer, Number, Seed, Table, distinct

Momentum = Annotated[Number, Field(ge=0, lt=1)]
Warmup = Annotated[Integer, Field(ge=0, le=100_000)]
Switch = Annotated[bool, Field(strict=True)]
# The hyperparameters that are searched if a list is given for them.
SEARCHABLE = ("bias", "momentum", "schedule", "warmup_epochs")
# Studies that were stored without these keys were trained as these values say.
EARLIER: dict[str, Any] = {
    "bias": False,
    "momentum": 0.0,
    "schedule": "constant",
    "warmup_epochs": 0,
    "class_weight": None,
}

_Value = TypeVar("_Value")
_Several = Annotated[tuple[_Value, ...], Field(min_length=1), AfterValidator(distinct)]
_by_shape = Discriminator(lambda value: "values" if isinstance(value, list | tuple) else "value")


class ModelSpec(Table):
    """The table [model].

    bias, momentum, schedule, warmup_epochs: see `Hyperparameters`; a list of values is searched.
    class_weight: "balanced" weighs each example by the inverse frequency of its class.
    """

    penalty: Penalty = Penalty.NORM
    epochs: Annotated[Integer, Field(ge=1, le=100_000)] = 100
    bias: Annotated[
        Annotated[Switch, Tag("value")] | Annotated[_Several[Switch], Tag("values")], _by_shape
    ] = True
    momentum: Annotated[
        Annotated[Momentum, Tag("value")] | Annotated[_Several[Momentum], Tag("values")], _by_shape
    ] = 0.0
    schedule: Annotated[
        Annotated[Schedule, Tag("value")] | Annotated[_Several[Schedule], Tag("values")], _by_shape
    ] = Schedule.CONSTANT
    warmup_epochs: Annotated[
        Annotated[Warmup, Tag("value")] | Annotated[_Several[Warmup], Tag("values")], _by_shape
    ] = 0
    class_weight: Literal["balanced"] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        warmup = self.warmup_epochs
        longest = max(warmup) if isinstance(warmup, tuple) else warmup
        if longest >= self.epochs:
            raise ValueError(
                f"warmup_epochs = {longest}: must be less than epochs = {self.epochs}, so that "
                "training goes on after it"
            )
        return self

    def searched(self) -> dict[str, tuple[Any, ...]]:
        """Return the values of each hyperparameter for which a list is given."""
        given = {name: getattr(self, name) for name in SEARCHABLE}
        return {name: values for name, values in given.items() if isinstance(values, tuple)}

    def fixed(self) -> dict[str, Any]:
        """Return the value of each hyperparameter that all trials share."""
        given = {name: getattr(self, name) for name in SEARCHABLE}
        return {name: value for name, value in given.items() if not isinstance(value, tuple)}

    def hyperparameters(self, tried: dict[str, Any]) -> Hyperparameters:
        """Return a trial's hyperparameters.

        tried: the values that the trial has of its own; the others are those of all trials.
        """
        values = self.fixed() | tried
        if "schedule" in values:
            values["schedule"] = Schedule(values["schedule"])
        return Hyperparameters(**values)

    def training_data(
        self,
        train: Dataset,
        validation: Dataset | None = None,
        balanced_over: Dataset | None = None,
        order: Order = Order.EXACT,
    ) -> TrainingData:
        """Return what trials are trained on. balanced_over, order: see `TrainingData.of`."""
        return TrainingData.of(
            train,
            validation,
            bias=self.bias not in (False, (False,)),
            balanced_classes=self.class_weight == "balanced",
            balanced_over=balanced_over,
            order=order,
        )

    def example_weights(self, train: Dataset, examples: Dataset) -> npt.NDArray[np.float64] | None:
        """Return the weights of examples in a mean loss, (M,), with the mean 1; None if all are 1.

        train: the examples whose classes are counted.
        """
        if self.class_weight is None:
            return None
        by_class = balanced_class_weights(train.y, len(train.class_names))
        weights: npt.NDArray[np.float64] = by_class[examples.y]
        weights /= weights.mean()
        return weights

    def defining(self) -> dict[str, Any]:
        """Return the table as plain JSON values, without what older studies did not store.

        A key is left out while it has the value by which those studies were trained.
        """
        dumped = self.model_dump(mode="json")
        return {
            key: value
            for key, value in dumped.items()
            if key not in EARLIER or value != EARLIER[key]
        }
