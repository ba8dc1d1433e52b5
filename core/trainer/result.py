"""The values that the trainer shares with other packages: hyperparameters and results.

Shapes: D features, C classes, E trained epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Status(Enum):
    """How a trial ended. The value is the text that a user reads."""

    COMPLETED = "trained to its last epoch"
    PRUNED = "stopped early, because others of its cohort were doing better"
    DIVERGED = "diverged: its loss or weights grew without bound; a smaller learning rate helps"


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """One point of the search space."""

    learning_rate: float
    weight_decay: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class Curves:
    """The learning curves of a trial, with one value per epoch, each (E,).

    Losses are mean cross-entropies in nats, without the penalty, so that trials with different
    weight decay can be compared. Train values are running means over the epoch's batches, taken
    before each update. Validation values are taken after the epoch.
    """

    train_loss: Floats
    train_accuracy: Floats
    val_loss: Floats
    val_accuracy: Floats

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the curves."""
        return tuple(field.name for field in fields(cls))

    def __len__(self) -> int:
        return len(self.train_loss)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of training one trial.

    weights: (D, C) float32; for a diverged trial, those of its last finite epoch.
    curves: up to and including ``stopped_epoch``; a diverged trial's last values may not be finite.
    stopped_epoch: the last trained epoch, counted from 1; a diverged trial diverged in it.
    """

    hyperparameters: Hyperparameters
    weights: npt.NDArray[np.float32]
    curves: Curves
    status: Status
    stopped_epoch: int
