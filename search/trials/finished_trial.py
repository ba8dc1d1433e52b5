"""A finished trial, as it is kept in Optuna's storage; and which of them is best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.trainer.result import Hyperparameters, Status, TrainingResult
from search.spec.objective import Objective

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

RESULT_ATTRIBUTE = "lockstep.result"
RUN_ATTRIBUTE = "mlflow.run_id"
URL_ATTRIBUTE = "mlflow.run"


@dataclass(frozen=True, slots=True)
class Rung:
    """The scores with which a trial was compared with its cohort."""

    epoch: int
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of a trial's scores over the seeds that it was trained under."""

    val_loss_std: float
    val_accuracy_std: float


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A recorded trial. Scores are those of its last epoch; best_epoch is the one (from 1) of the
    lowest validation loss. Of a diverged trial the scores are NaN. rungs: those that it reached,
    where trials are pruned. spread: where each configuration has several seeds; scores are then
    means over them."""

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
    rungs: tuple[Rung, ...] = ()
    spread: Spread | None = None

    @classmethod
    def of(
        cls,
        number: int,
        result: TrainingResult,
        run_id: str,
        rungs: tuple[Rung, ...] = (),
        spread: Spread | None = None,
    ) -> FinishedTrial:
        curves = result.curves
        diverged = result.status is Status.DIVERGED
        last = {
            name: math.nan if diverged else float(getattr(curves, name)[-1])
            for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
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
        """Return the loss or error rate; NaN if the trial diverged or it is not finite."""
        value = objective.badness(objective.of(self))
        return value if math.isfinite(value) and self.status is not Status.DIVERGED else math.nan

    def attributes(self) -> dict[str, Any]:
        """As Optuna user attributes: JSON, with null for what is not finite."""
        fields = asdict(self)
        for key in ("number", "hyperparameters", "run_id"):
            del fields[key]
        for key in ("rungs", "spread"):
            if not fields[key]:
                del fields[key]  # as in studies of before
        plain = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in fields.items()
        }
        return {RESULT_ATTRIBUTE: plain | {"status": self.status.name}, RUN_ATTRIBUTE: self.run_id}

    @classmethod
    def from_optuna(cls, trial: FrozenTrial) -> FinishedTrial:
        plain: dict[str, Any] = {
            key: math.nan if value is None else value
            for key, value in trial.user_attrs[RESULT_ATTRIBUTE].items()
        }
        plain["rungs"] = tuple(Rung(**rung) for rung in plain.get("rungs", ()))
        if "spread" in plain:
            plain["spread"] = Spread(**plain["spread"])
        return cls(
            number=trial.number,
            hyperparameters=Hyperparameters(**trial.params),
            run_id=trial.user_attrs[RUN_ATTRIBUTE],
            **plain | {"status": Status[plain["status"]]},
        )


def ranked(trials: Iterable[FinishedTrial], objective: Objective) -> list[FinishedTrial]:
    """Return the completed trials, best first; of equals, the lower loss and number first."""
    return sorted(
        (each for each in trials if each.status is Status.COMPLETED),
        key=lambda each: (*objective.rank_key(each), each.number),
    )
