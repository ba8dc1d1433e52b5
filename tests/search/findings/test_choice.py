"""What is said of the best trial, from scores that were made so that the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from small_study import small_spec

from core.trainer.result import Hyperparameters, Status
from search.findings.choice import Choice, choose
from search.findings.scores import ValidationScores
from search.findings.sentences import choice_sentences
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial

M = 800


def trial(number: int, loss: float, accuracy: float, tried: Hyperparameters) -> FinishedTrial:
    return FinishedTrial(
        number, tried, Status.COMPLETED, loss, accuracy, loss, accuracy, 3, loss, 3, f"run{number}"
    )


def made(
    skills: list[float], tried: list[Hyperparameters], noise: float, objective: Objective
) -> tuple[Choice, ValidationScores]:
    """Trials of these mean losses on examples of very different difficulty, best first."""
    rng = np.random.default_rng(0)
    difficulty = rng.exponential(size=M)
    losses = np.stack([difficulty + skill + noise * rng.normal(size=M) for skill in skills])
    errors = losses > 2.5
    order = np.argsort((errors if not objective.is_loss else losses).mean(axis=1))
    losses, errors = losses[order].astype(np.float32), errors[order]
    trials = [
        trial(int(k), float(losses[i].mean()), 1 - float(errors[i].mean()), tried[k])
        for i, k in enumerate(order)
    ]
    scores = ValidationScores(trials, losses, errors, [], np.arange(errors.shape[1]) % 2)
    return choose(scores, objective, seed=0), scores


def grid(*pairs: tuple[float, float]) -> list[Hyperparameters]:
    return [Hyperparameters(rate, decay, 16) for rate, decay in pairs]


def test_counts_those_that_cannot_be_told_from_the_best() -> None:
    """Five trials of the same skill, five that are worse by far less than examples differ."""
    tried = grid(*[(0.1 * (k + 1), 0.01) for k in range(10)])
    choice, _ = made([0.0] * 5 + [0.1] * 5, tried, 0.3, Objective.LOSS)
    assert choice.indistinguishable == 5
    worse = [each for each in choice.standings if each.trial.number >= 5]
    assert all(each.p_value < 0.001 < each.behind for each in worse)
    assert all(each.loss_error > 0.03 for each in choice.standings), "unpaired, none could be told"


@pytest.mark.parametrize("objective", list(Objective))
def test_one_se_is_the_simplest_of_the_near(objective: Objective) -> None:
    """Largest weight decay first, then the smallest learning rate."""
    near = [(0.5, 0.01), (0.5, 0.1), (0.2, 0.1), (0.9, 0.1)]
    far = [(0.001, 10.0)]
    # Hardly any noise, so that all near ones are within a standard error.
    choice, _ = made([0, 0, 0, 0, 1.5], grid(*near, *far), 1e-9, objective)
    assert choice.one_se.trial.hyperparameters == Hyperparameters(0.2, 0.1, 16)
    assert choice.best.p_value == 1


def test_differences_that_nobody_could_want_are_none() -> None:
    """Consistent on every example, and a thousandth of the score's own standard error."""
    tried = grid((0.5, 1e-6), (0.5, 2e-6), (0.5, 1.0))
    choice, scores = made([0, 2e-5, 0.2], tried, 1e-7, Objective.LOSS)
    assert choice.standings[1].behind > 10 * choice.standings[1].behind_error
    assert choice.indistinguishable == 2
    assert choice.one_se.trial.number == 1
    assert scores.trials[0].number == 0


def test_sentences_of_several_trials() -> None:
    tried = grid((0.1, 0.01), (0.05, 0.1))
    choice, _ = made([0.0, 0.001], tried, 0.3, Objective.LOSS)
    text = "\n".join(choice_sentences(choice, small_spec()))
    assert "2 of 2 trials are statistically indistinguishable from the best" in text
    assert "paired t tests on 800 validation examples" in text
    assert "too good by" in text
    assert "one-se" in text


def test_one_trial_has_nothing_to_be_compared_with() -> None:
    choice, _ = made([0.0], grid((0.1, 0.01)), 0.1, Objective.ACCURACY)
    assert choice_sentences(choice, small_spec()) == []
    assert choice.one_se is choice.best
    assert choice.as_json()["indistinguishable_from_best"] == 1


@pytest.mark.parametrize(("skill", "told"), [(0.0, False), (3.0, True)])
def test_what_is_no_better_than_guessing_is_told(skill: float, told: bool) -> None:
    """Half of the examples are of either class."""
    choice, scores = made([skill, skill + 0.1], grid((0.1, 0.01), (0.05, 0.1)), 0.1, Objective.LOSS)
    assert (scores.trials[0].val_accuracy <= 0.5) == told
    text = "\n".join(choice_sentences(choice, small_spec()))
    assert ("always guessing the most frequent class, which is right on 50.00 %" in text) == told
    assert choice.as_json()["accuracy_of_guessing"] == 0.5


def test_accuracy_is_tested_by_mcnemar() -> None:
    tried = grid((0.1, 0.01), (0.05, 0.1), (0.01, 1.0))
    choice, scores = made([0.0, 0.02, 1.0], tried, 0.05, Objective.ACCURACY)
    text = "\n".join(choice_sentences(choice, small_spec()))
    assert "McNemar" in text
    assert "accuracy" in text
    assert choice.optimism.apparent == pytest.approx(scores.errors[0].mean())
    assert choice.standings[2].p_value < 0.01
