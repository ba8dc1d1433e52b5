"""A trial before it is trained."""

from __future__ import annotations

from dataclasses import dataclass

from core.trainer.result import Hyperparameters


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial of the study: its Optuna number and what it tries."""

    number: int
    hyperparameters: Hyperparameters
