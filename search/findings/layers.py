"""Find out which set of features, such as which layer of a network, tells the classes apart best.

Each set is judged by its best trial. These trials are compared on the same examples, by the paired
tests of `against_best.py`, whose p values are adjusted for the number of sets. The best trial of
one set among many trials looks better than it is, and so does that of every other set. How firmly
the choice of the set stands is therefore also told by the bootstrap of `optimism.py`, which repeats
the choice among all trials of all sets together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from core.statistics.paired import means
from core.statistics.proportions import Interval, wilson_interval
from search.findings.against_best import LEVEL, against_best
from search.findings.scores import ValidationScores
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial
from search.trials.layers import Layer, Layers

NORMAL = 1.959964  # standard errors on either side of a mean in a 95 % interval


def layers(
    scores: ValidationScores,
    objective: Objective,
    shares: Sequence[float],
    names: Sequence[str],
) -> Layers | None:
    """Return how the sets of features compare; None if there are fewer than two.

    scores: those of all trials, best first. shares: how often a bootstrap sample of the examples
    chose each of them. names: those of all sets, in the order of the study file.
    """
    if len(names) < 2:
        return None
    of = [trial.hyperparameters.features for trial in scores.trials]
    rows = [of.index(name) for name in dict.fromkeys(of)]  # the best of each set, best first
    S, errors = scores.of(objective)[rows], scores.errors[rows]
    found = against_best(S, errors, objective)
    accuracies = against_best(errors, errors, Objective.ACCURACY)
    score, loss, accuracy = means(S), means(scores.losses[rows]), means(errors)
    trials, chosen = Counter(of), dict.fromkeys(of, 0.0)
    for name, share in zip(of, shares, strict=True):
        chosen[name] += share

    def layer(k: int, name: str, best: FinishedTrial) -> Layer:
        """Describe the set of features of row k."""
        error_rate = _wilson(errors[k])
        interval = _interval(score.mean[k], score.standard_error[k])
        return Layer(
            name=name,
            place=names.index(name) + 1,
            trials=trials[name],
            trial=best.number,
            badness=float(score.mean[k]),
            interval=error_rate if objective is Objective.ACCURACY else interval,
            error_rate=float(accuracy.mean[k]),
            error_interval=error_rate,
            val_loss=best.val_loss,
            loss_error=float(loss.standard_error[k]),
            val_accuracy=best.val_accuracy,
            accuracy_error=float(accuracy.standard_error[k]),
            behind=float(found.difference.mean[k]),
            behind_error=float(found.difference.standard_error[k]),
            p_value=float(found.p_values[k]),
            accuracy_p_value=float(accuracies.p_values[k]),
            is_tied=bool(found.p_values[k] > LEVEL),
            is_as_accurate=bool(
                accuracies.p_values[k] > LEVEL or accuracies.difference.mean[k] <= 0
            ),
            chosen=chosen[name],
        )

    by_name = {of[row]: layer(k, of[row], scores.trials[row]) for k, row in enumerate(rows)}
    return Layers(
        objective=objective,
        examples=S.shape[1],
        count=len(names),
        found=[by_name[name] for name in names if name in by_name],
        missing=[name for name in names if name not in by_name],
        best=by_name[of[0]],
    )


def _interval(mean: float, error: float) -> Interval:
    """Return the normal 95 % interval of a mean that is not negative."""
    return Interval(float(max(mean - NORMAL * error, 0.0)), float(mean + NORMAL * error))


def _wilson(errors: npt.NDArray[np.bool_]) -> Interval:
    """Return Wilson's 95 % interval of an error rate; errors: (M,)."""
    return wilson_interval(int(errors.sum()), len(errors))
