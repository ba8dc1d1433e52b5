"""The values that the trainer shares with other packages: hyperparameters and results.

Shapes: D features, C classes, E trained epochs, M validation examples.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from enum import Enum

import numpy as np
import numpy.typing as npt

from core.trainer.learning_rate import Schedule

Floats = npt.NDArray[np.float64]


class Status(Enum):
    """How a trial ended. The value is the text that a user reads."""

    COMPLETED = "trained to its last epoch"
    PRUNED = "stopped early, because others of its cohort were doing better"
    DIVERGED = "diverged: its loss or weights grew without bound; a smaller learning rate helps"


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """One point of the search space.

    momentum: μ of v ← μ v + ∂L/∂W, W ← W - η v, as in PyTorch; 0 is plain gradient descent.
    schedule, warmup_epochs: see `learning_rate.py`.
    bias: whether each class has a bias, which does not decay.
    features: the name of the set of features, empty if there is only one.
    """

    learning_rate: float
    weight_decay: float
    batch_size: int
    momentum: float = 0.0
    schedule: Schedule = Schedule.CONSTANT
    warmup_epochs: int = 0
    bias: bool = False
    features: str = ""

    @property
    def shared(self) -> tuple[int, float, Schedule, int, bool, str]:
        """What trials must have in common to be trained in one stack."""
        return (
            self.batch_size,
            self.momentum,
            self.schedule,
            self.warmup_epochs,
            self.bias,
            self.features,
        )


@dataclass(frozen=True, slots=True)
class Curves:
    """The learning curves of a trial, with one value per epoch, each (E,).

    Losses are mean cross-entropies in nats, weighted by class if the training is, and without the
    penalty, so that trials with different weight decay can be compared. Train values are running
    means over the epoch's batches, taken before each update. Validation values are taken after the
    epoch. val_balanced_accuracy: the mean over classes of the accuracy among a class's examples;
    None where a study does not ask for it.
    """

    train_loss: Floats
    train_accuracy: Floats
    val_loss: Floats
    val_accuracy: Floats
    val_balanced_accuracy: Floats | None = None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the curves that every trial has."""
        return tuple(field.name for field in fields(cls) if field.default is MISSING)

    @classmethod
    def known(cls) -> tuple[str, ...]:
        """Return the names of all curves that a trial can have."""
        return tuple(field.name for field in fields(cls))

    def by_name(self) -> dict[str, Floats]:
        """Return the curves of this trial by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in named.items() if values is not None}

    def __len__(self) -> int:
        return len(self.train_loss)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of training one trial.

    weights: (D, C) float32; for a diverged trial, those of its last finite epoch.
    bias: (C,) float32 likewise; zeros if the trial has none.
    curves: up to and including ``stopped_epoch``; a diverged trial's last values may not be finite.
    stopped_epoch: the last trained epoch, counted from 1; a diverged trial diverged in it.
    """

    hyperparameters: Hyperparameters
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    curves: Curves
    status: Status
    stopped_epoch: int
