"""How a trial ended, over the seeds that it was trained under."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.trainer.result import Curves, Status, TrainingResult
from search.trials.finished_trial import Rung, Spread


@dataclass(frozen=True, slots=True)
class Outcome:
    """result: curves are means over the seeds, weights those of the first. rungs: that it reached,
    where trials are compared at any. spread: where there are several seeds."""

    result: TrainingResult
    rungs: tuple[Rung, ...] = ()
    spread: Spread | None = None


def mean_curves(curves: Sequence[Curves]) -> Curves:
    """Over seeds; as long as the shortest."""
    if len(curves) == 1:
        return curves[0]
    epochs = min(map(len, curves))
    return Curves(
        *(
            np.mean([getattr(each, name)[:epochs] for each in curves], axis=0)
            for name in Curves.names()
        )
    )


def outcome_of(results: Sequence[TrainingResult], rungs: Sequence[int]) -> Outcome:
    """results: of one trial, by seed. It diverged if it did under any of them; in what epoch, the
    first of these. rungs: epochs at which trials are compared, none where they never are."""
    diverged = [each for each in results if each.status is Status.DIVERGED]
    first = min(diverged, key=lambda each: each.stopped_epoch, default=results[0])
    curves = mean_curves([each.curves for each in results])
    if diverged and len(results) > 1:
        curves = first.curves  # a mean with what diverged says nothing
    result = replace(first, curves=curves)
    reached = len(curves) - bool(diverged)
    passed = [rung_at(curves, epoch) for epoch in rungs if epoch <= reached]
    finite = [each for each in passed if math.isfinite(each.val_loss)]
    spread = None
    if len(results) > 1 and not diverged:
        loss, accuracy = (
            float(np.std([getattr(each.curves, name)[-1] for each in results], ddof=1))
            for name in ("val_loss", "val_accuracy")
        )
        spread = Spread(loss, accuracy)
    return Outcome(result, tuple(finite), spread)


def rung_at(curves: Curves, epoch: int) -> Rung:
    return Rung(epoch, float(curves.val_loss[epoch - 1]), float(curves.val_accuracy[epoch - 1]))
