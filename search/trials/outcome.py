"""The outcome of a trial over all the seeds that it was trained with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.trainer.result import Curves, Status, TrainingResult
from search.trials.finished_trial import RungScores, Spread


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a trial: how it ended, and with which scores and weights.

    result: its curves are means over the seeds, and its weights are those of the first seed. If
        the trial diverged, both are those of the seed that diverged first.
    rungs: its scores at the rungs that it reached; empty if trials are not compared at rungs.
    spread: None if there is only one seed or the trial diverged.
    """

    result: TrainingResult
    rungs: tuple[RungScores, ...] = ()
    spread: Spread | None = None


def mean_curves(curves: Sequence[Curves]) -> Curves:
    """Return the means of the curves over the seeds, as long as the shortest of them."""
    if len(curves) == 1:
        return curves[0]
    epochs = min(map(len, curves))
    return Curves(
        *(
            np.mean([getattr(each, name)[:epochs] for each in curves], axis=0)
            for name in Curves.names()
        )
    )


def outcome_of(results: Sequence[TrainingResult], rung_epochs: Sequence[int]) -> Outcome:
    """Return the outcome of one trial.

    The trial diverged if it did under any seed, and then in the first epoch in which it did.

    results: the trial's result for each seed.
    rung_epochs: the epochs at which trials are compared; empty if they are not compared at rungs.
    """
    diverged = [each for each in results if each.status is Status.DIVERGED]
    first = min(diverged, key=lambda each: each.stopped_epoch, default=results[0])
    curves = mean_curves([each.curves for each in results])
    if diverged and len(results) > 1:
        curves = first.curves  # A mean with a diverged curve has no meaning.
    result = replace(first, curves=curves)
    reached = len(curves) - bool(diverged)
    passed = [scores_at(curves, epoch) for epoch in rung_epochs if epoch <= reached]
    finite = [each for each in passed if math.isfinite(each.val_loss)]
    spread = None
    if len(results) > 1 and not diverged:
        loss, accuracy = (
            float(np.std([getattr(each.curves, name)[-1] for each in results], ddof=1))
            for name in ("val_loss", "val_accuracy")
        )
        spread = Spread(loss, accuracy)
    return Outcome(result, tuple(finite), spread)


def scores_at(curves: Curves, epoch: int) -> RungScores:
    """Return the scores after this epoch, counted from 1."""
    return RungScores(
        epoch, float(curves.val_loss[epoch - 1]), float(curves.val_accuracy[epoch - 1])
    )
