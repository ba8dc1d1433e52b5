"""Finished trials as they are kept in Optuna's storage, and their ranking."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.trainer.result import Hyperparameters, Status, TrainingResult
from search.spec.objective import Objective
from search.trials.attributes import REPEATS_ATTRIBUTE, RESULT_ATTRIBUTE, RUN_ATTRIBUTE

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True)
class RungScores:
    """The scores of a trial at an epoch at which it was compared with its cohort."""

    epoch: int
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """The standard deviations of a trial's scores over the seeds that it was trained with."""

    val_loss_std: float
    val_accuracy_std: float


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A recorded trial.

    Scores are those of its last epoch, and NaN if it diverged. With several seeds per
    configuration, they are means over the seeds.

    best_epoch: the epoch, counted from 1, with the lowest validation loss.
    rungs: its scores at the rungs that it reached; empty if trials are not pruned.
    spread: None if there is only one seed.
    val_balanced_accuracy: None if it is not the study's objective.
    repeats: the number of the trial that has the same configuration, if this one was not trained
        but has its result and its run (see `repeats.py`); None if it was trained.
    """

    number: int
    hyperparameters: Hyperparameters
    status: Status
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    best_epoch: int
    best_val_loss: float
    stopped_epoch: int
    run_id: str
    rungs: tuple[RungScores, ...] = ()
    spread: Spread | None = None
    val_balanced_accuracy: float | None = None
    repeats: int | None = None

    @classmethod
    def of(
        cls,
        number: int,
        result: TrainingResult,
        run_id: str,
        rungs: tuple[RungScores, ...] = (),
        spread: Spread | None = None,
    ) -> FinishedTrial:
        """Return the record of a trial with this result."""
        curves = result.curves
        diverged = result.status is Status.DIVERGED
        last: dict[str, Any] = {
            name: math.nan if diverged else float(getattr(curves, name)[-1])
            for name in curves.by_name()
        }
        finite = np.where(np.isfinite(curves.val_loss), curves.val_loss, np.inf)
        best = int(finite.argmin())
        return cls(
            number=number,
            hyperparameters=result.hyperparameters,
            status=result.status,
            **last,
            best_epoch=best + 1,
            best_val_loss=float(curves.val_loss[best]),
            stopped_epoch=result.stopped_epoch,
            run_id=run_id,
            rungs=rungs,
            spread=spread,
        )

    def badness(self, objective: Objective) -> float:
        """Return the loss or error rate; NaN if it is not finite or the trial diverged."""
        value = objective.badness(objective.of(self))
        return value if math.isfinite(value) and self.status is not Status.DIVERGED else math.nan

    def attributes(self) -> dict[str, Any]:
        """Return the trial as Optuna user attributes: JSON, with null for values not finite."""
        fields = asdict(self)
        for key in ("number", "hyperparameters", "run_id", "repeats"):
            del fields[key]
        for rung in fields["rungs"]:
            if rung["val_balanced_accuracy"] is None:
                del rung["val_balanced_accuracy"]
        for key in ("rungs", "spread", "val_balanced_accuracy"):
            if fields[key] in ((), [], None):
                del fields[key]  # Older studies do not have these keys.
        plain = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in fields.items()
        }
        repeats = {} if self.repeats is None else {REPEATS_ATTRIBUTE: self.repeats}
        result = plain | {"status": self.status.name}
        return {RESULT_ATTRIBUTE: result, RUN_ATTRIBUTE: self.run_id, **repeats}

    @classmethod
    def from_optuna(
        cls, trial: FrozenTrial, tried: Hyperparameters, attributes: Mapping[str, Any]
    ) -> FinishedTrial:
        """Return the finished trial that is stored in an Optuna trial.

        tried: its hyperparameters. attributes: those of the trial, or what has replaced them.
        """
        plain: dict[str, Any] = {
            key: math.nan if value is None else value
            for key, value in attributes[RESULT_ATTRIBUTE].items()
        }
        plain["rungs"] = tuple(RungScores(**rung) for rung in plain.get("rungs", ()))
        if "spread" in plain:
            plain["spread"] = Spread(**plain["spread"])
        return cls(
            number=trial.number,
            hyperparameters=tried,
            run_id=attributes[RUN_ATTRIBUTE],
            repeats=trial.user_attrs.get(REPEATS_ATTRIBUTE),
            **plain | {"status": Status[plain["status"]]},
        )


def ranked(trials: Iterable[FinishedTrial], objective: Objective) -> list[FinishedTrial]:
    """Return the completed trials, best first; ties go to the lower loss, then lower number."""
    return sorted(
        (each for each in trials if each.status is Status.COMPLETED),
        key=lambda each: (*objective.rank_key(each), each.number),
    )
