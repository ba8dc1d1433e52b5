"""Planned trials: what a trial is before it is trained."""

from __future__ import annotations

from dataclasses import dataclass

from core.trainer.result import Hyperparameters


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial that is to be trained: its number in Optuna, and its hyperparameters."""

    number: int
    hyperparameters: Hyperparameters
