"""Compare trials on validation data.

This finds which trials are statistically indistinguishable from the best, which is the simplest
within one standard error of it, and the optimism of the choice: how much too good the best one
looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.statistics.optimism import Optimism, optimism
from core.statistics.paired import means, within_one_standard_error
from search.findings.against_best import LEVEL, against_best
from search.findings.layers import layers
from search.findings.scores import ValidationScores
from search.spec.objective import Objective
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial
from search.trials.layers import Layers


@dataclass(frozen=True, slots=True)
class Standing:
    """A trial compared with the best one.

    loss_error, accuracy_error: the standard errors of its scores.
    behind, behind_error: how much worse its objective is, and the standard error of that.
    p_value: the p value of the difference, adjusted by Holm's method.
    """

    trial: FinishedTrial
    loss_error: float
    accuracy_error: float
    behind: float
    behind_error: float
    p_value: float

    def as_json(self) -> dict[str, Any]:
        """Return all values except the trial, for a JSON file."""
        fields = asdict(self)
        del fields["trial"]
        return fields


@dataclass(frozen=True, slots=True)
class Choice:
    """The result of comparing all trials.

    examples: the number of validation examples.
    standings: all trials that have weights, best first.
    one_se: the simplest trial within one standard error of the best, with the same features.
    optimism: that of choosing the best score, as a loss or an error rate.
    layers: the best of each set of features, None if there is only one.
    guessing: the share of the examples that have the most frequent class: the accuracy of a model
        that always predicts it.
    missing: trials that were not compared, because their runs have lost their weights.
    not_kept: trials that were not compared, because their weights are not kept.
    """

    objective: Objective
    examples: int
    standings: list[Standing]
    one_se: Standing
    optimism: Optimism
    layers: Layers | None
    guessing: float
    missing: list[FinishedTrial]
    not_kept: list[FinishedTrial]

    @property
    def best(self) -> Standing:
        """The best trial."""
        return self.standings[0]

    @property
    def indistinguishable(self) -> int:
        """The number of trials indistinguishable from the best, which is one of them."""
        return sum(standing.p_value > LEVEL for standing in self.standings)

    def as_json(self) -> dict[str, Any]:
        """Return a summary for a JSON file."""
        return {
            "objective": self.objective,
            "validation_examples": self.examples,
            "compared": len(self.standings),
            "indistinguishable_from_best": self.indistinguishable,
            "level": LEVEL,
            "best": self.best.trial.number,
            "one_se": self.one_se.trial.number,
            "optimism": {
                "apparent": self.optimism.apparent,
                "corrected": self.optimism.corrected,
                "amount": self.optimism.amount,
                "chosen_again": self.optimism.chosen_again,
            },
            "accuracy_of_guessing": self.guessing,
            **({} if self.layers is None else {"features": self.layers.as_json()}),
            "without_weights": [trial.number for trial in self.missing],
            "weights_not_kept": [trial.number for trial in self.not_kept],
        }


def choose(
    scores: ValidationScores, objective: Objective, seed: int, features: Sequence[str] = ()
) -> Choice:
    """Compare all trials with the best one.

    seed: decides the samples of the bootstrap. features: the names of the sets of features in the
    order of the study file; none if there is only one.
    """
    S = scores.of(objective)
    difference, p_values, none = against_best(S, scores.errors, objective)
    loss, accuracy = means(scores.losses), means(scores.errors)
    lucky = optimism(S, seed)
    standings = [
        Standing(
            trial=trial,
            loss_error=float(loss.standard_error[k]),
            accuracy_error=float(accuracy.standard_error[k]),
            behind=float(difference.mean[k]),
            behind_error=float(difference.standard_error[k]),
            p_value=float(p_values[k]),
        )
        for k, trial in enumerate(scores.trials)
    ]
    return Choice(
        objective=objective,
        examples=S.shape[1],
        standings=standings,
        one_se=_simplest(standings, none | within_one_standard_error(difference)),
        optimism=lucky,
        layers=layers(scores, objective, lucky.shares, features),
        guessing=float(np.bincount(scores.labels).max() / len(scores.labels)),
        missing=scores.missing,
        not_kept=scores.not_kept,
    )


def study_choice(spec: StudySpec, scores: ValidationScores) -> Choice:
    """Compare all trials of a study with its best one."""
    names = tuple(spec.data.features or ())
    return choose(scores, spec.search.objective, spec.search.seed, names)


def _simplest(standings: Sequence[Standing], near: npt.NDArray[np.bool_]) -> Standing:
    """Return the simplest of the trials near the best.

    That is the one with the largest weight decay, then the smallest learning rate, then the best
    rank. Weight decays mean the same only on the same features, so only trials that have those of
    the best are considered.
    """
    best = standings[0].trial.hyperparameters.features
    return min(
        (
            standing
            for standing, is_near in zip(standings, near, strict=True)
            if is_near and standing.trial.hyperparameters.features == best
        ),
        key=lambda each: (
            -each.trial.hyperparameters.weight_decay,
            each.trial.hyperparameters.learning_rate,
        ),
    )
