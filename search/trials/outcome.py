"""The outcome of a trial over all the seeds that it was trained with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.trainer.result import Curves, Status, TrainingResult
from search.trials.finished_trial import RungScores, Spread


@dataclass(frozen=True, slots=True)
class FoldResults:
    """The results of one trial and seed on k folds; k is 1 if a part is held out instead.

    held_out: the number of examples that each fold holds out.
    """

    results: Sequence[TrainingResult]
    held_out: Sequence[int]

    def pooled(self) -> TrainingResult:
        """Return one result: its scores are those of all examples that are held out by some fold.

        Its weights are means over the folds, for pictures. If a fold diverged, it is the result of
        the fold that diverged first.
        """
        results = self.results
        diverged = [each for each in results if each.status is Status.DIVERGED]
        if len(results) == 1 or diverged:
            return min(diverged, key=lambda each: each.stopped_epoch, default=results[0])
        return replace(
            results[0],
            weights=np.mean([each.weights for each in results], axis=0),
            bias=np.mean([each.bias for each in results], axis=0),
            curves=mean_curves([each.curves for each in results], self.held_out),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a trial: how it ended, and with which scores and weights.

    result: its curves are means over the seeds, and its weights are those of the first seed. If
        the trial diverged, both are those of the seed that diverged first.
    rungs: its scores at the rungs that it reached; empty if trials are not compared at rungs.
    spread: None if there is only one seed or the trial diverged.
    folds: the results of the first seed on each fold; empty if a part is held out instead.
    """

    result: TrainingResult
    rungs: tuple[RungScores, ...] = ()
    spread: Spread | None = None
    folds: tuple[TrainingResult, ...] = ()

    def without_weights(self) -> Outcome:
        """Return how it ended and with which scores alone."""
        none = np.zeros((0, 0), np.float32)
        return replace(self, result=replace(self.result, weights=none, bias=none.ravel()), folds=())


def mean_curves(curves: Sequence[Curves], weights: Sequence[int] | None = None) -> Curves:
    """Return the means of the curves over seeds or folds, as long as the shortest of them.

    weights: of the folds, how many examples each holds out; None if all weigh the same.
    """
    if len(curves) == 1:
        return curves[0]
    epochs = min(map(len, curves))
    by_name = [each.by_name() for each in curves]
    return Curves(
        **{
            name: np.average([each[name][:epochs] for each in by_name], axis=0, weights=weights)
            for name in by_name[0]
        }
    )


def outcome_of(by_seed: Sequence[FoldResults], rung_epochs: Sequence[int]) -> Outcome:
    """Return the outcome of one trial.

    The trial diverged if it did under any seed, and then in the first epoch in which it did.

    by_seed: the trial's results for each seed.
    rung_epochs: the epochs at which trials are compared; empty if they are not compared at rungs.
    """
    results = [each.pooled() for each in by_seed]
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
    folds = tuple(by_seed[0].results) if len(by_seed[0].results) > 1 else ()
    return Outcome(result, tuple(finite), spread, folds)


def scores_at(curves: Curves, epoch: int) -> RungScores:
    """Return the scores after this epoch, counted from 1."""
    balanced = curves.val_balanced_accuracy
    return RungScores(
        epoch,
        float(curves.val_loss[epoch - 1]),
        float(curves.val_accuracy[epoch - 1]),
        None if balanced is None else float(balanced[epoch - 1]),
    )
