"""Which set of features is best; SciPy and statsmodels have the numbers to compare with."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, sem, ttest_rel
from small_study import small_spec
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from core.statistics.optimism import optimism
from core.trainer.result import Hyperparameters, Status
from search.findings.choice import Choice, choose
from search.findings.layer_sentences import layer_sentences
from search.findings.scores import ValidationScores
from search.findings.sentences import choice_sentences
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial
from search.trials.layers import Layers

M, PER_LAYER = 900, 3
SKILLS = {"early": 0.6, "middle": 0.0, "twin": 0.03, "late": 0.12}  # the lower, the better
NAMES = tuple(SKILLS)


def made(
    objective: Objective = Objective.LOSS,
    skills: dict[str, float] = SKILLS,
    names: tuple[str, ...] | None = None,
) -> tuple[Choice, ValidationScores]:
    """Trials of layers of these skills, on examples of very different difficulty."""
    rng = np.random.default_rng(0)
    difficulty = rng.exponential(size=M)
    of = [name for name in skills for _ in range(PER_LAYER)]
    losses = np.stack(
        [
            difficulty + skills[name] + 0.01 * (k % PER_LAYER) + 0.3 * rng.exponential(size=M)
            for k, name in enumerate(of)
        ]
    ).astype(np.float32)
    errors = losses > 2.5
    scored = ValidationScores([], losses, errors, [], np.arange(M) % 3)
    order = np.argsort(scored.of(objective).mean(axis=1), kind="stable")
    trials = []
    for k in order:
        loss, accuracy = float(losses[k].mean()), 1 - float(errors[k].mean())
        tried = Hyperparameters(0.1, 0.01 * (k % PER_LAYER), 16, features=of[k])
        trials.append(
            FinishedTrial(
                int(k), tried, Status.COMPLETED, loss, accuracy, loss, accuracy, 3, loss, 3, f"{k}"
            )
        )
    scores = ValidationScores(trials, losses[order], errors[order], [], np.arange(M) % 3)
    return choose(scores, objective, 0, tuple(skills) if names is None else names), scores


def found(choice: Choice) -> Layers:
    assert choice.layers is not None
    return choice.layers


@functools.cache
def usual_layers(objective: Objective) -> Layers:
    return found(made(objective, names=NAMES)[0])


def rows_of(scores: ValidationScores, layers: Layers) -> list[int]:
    numbers = [trial.number for trial in scores.trials]
    return [numbers.index(layer.trial) for layer in layers.found]


def test_each_layer_is_judged_by_its_best_trial() -> None:
    choice, scores = made()
    layers = found(choice)
    assert [layer.name for layer in layers.found] == list(NAMES)
    assert [layer.place for layer in layers.found] == [1, 2, 3, 4]
    for layer in layers.found:
        own = [t for t in scores.trials if t.hyperparameters.features == layer.name]
        assert layer.trials == len(own) == PER_LAYER
        assert layer.val_loss == min(trial.val_loss for trial in own)
        assert layer.trial == min(own, key=lambda trial: trial.val_loss).number
    assert layers.best.trial == choice.best.trial.number
    assert layers.missing == []


@pytest.mark.parametrize("objective", [Objective.LOSS, Objective.BALANCED_ACCURACY])
def test_losses_are_compared_by_paired_t_tests_and_holm(objective: Objective) -> None:
    choice, scores = made(objective)
    layers = found(choice)
    S = scores.of(objective).astype(np.float64)
    rows = rows_of(scores, layers)
    others = [row for row in rows if row != 0]
    p = [ttest_rel(S[row], S[0]).pvalue for row in others]
    expected = dict(zip(others, multipletests(p, method="holm")[1], strict=True))
    for row, layer in zip(rows, layers.found, strict=True):
        assert layer.p_value == pytest.approx(expected.get(row, 1.0), rel=1e-6)
        assert layer.behind == pytest.approx((S[row] - S[0]).mean(), abs=1e-9)
        assert layer.behind_error == pytest.approx(sem(S[row] - S[0]), abs=1e-9)
        assert layer.loss_error == pytest.approx(sem(scores.losses[row].astype(float)), rel=1e-6)
        assert layer.accuracy_error == pytest.approx(sem(scores.errors[row].astype(float)))
        assert layer.is_tied == (layer.p_value > 0.05)
        half = norm.ppf(0.975) * sem(S[row])
        low, high = layer.interval
        assert (low, high) == pytest.approx((S[row].mean() - half, S[row].mean() + half), rel=1e-4)


@pytest.mark.parametrize("objective", list(Objective))
def test_accuracies_are_compared_by_mcnemar_and_holm(objective: Objective) -> None:
    choice, scores = made(objective)
    layers = found(choice)
    rows = rows_of(scores, layers)

    def mid_p(row: int) -> float:
        only_best = int((scores.errors[row] & ~scores.errors[0]).sum())
        only_other = int((~scores.errors[row] & scores.errors[0]).sum())
        n, k = only_best + only_other, min(only_best, only_other)
        return float(min(1.0, 2 * binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5))) if n else 1.0

    others = [row for row in rows if row != 0]
    adjusted = multipletests([mid_p(row) for row in others], method="holm")[1]
    expected = dict(zip(others, adjusted, strict=True))
    for row, layer in zip(rows, layers.found, strict=True):
        assert layer.accuracy_p_value == pytest.approx(expected.get(row, 1.0), rel=1e-6)
        wrong = int(scores.errors[row].sum())
        wilson = proportion_confint(wrong, M, method="wilson")
        assert layer.error_interval == pytest.approx(wilson)
        if objective is Objective.ACCURACY:
            assert layer.p_value == layer.accuracy_p_value
            assert layer.interval == layer.error_interval


def test_what_ties_and_where_the_accuracy_is_first_reached() -> None:
    layers = found(made()[0])
    assert layers.best.name == "middle"
    assert [layer.name for layer in layers.tied] == ["twin"]
    assert layers.first is layers.best
    turned = found(made(names=("twin", "late", "early", "middle"))[0])
    assert turned.best.name == "middle"
    assert turned.first.name == "twin", "it comes first and is as accurate"
    assert turned.first.place == 1


def test_a_layer_that_is_more_accurate_than_the_best_loss_reaches_it() -> None:
    """The best loss need not have the best accuracy."""
    rng = np.random.default_rng(0)
    errors = np.stack([rng.random(M) < 0.3, np.zeros(M, bool)])
    losses = np.stack([np.full(M, 0.1), np.full(M, 0.5)]).astype(np.float32)
    losses += rng.random(losses.shape, np.float32) / 10
    trials = [
        FinishedTrial(k, Hyperparameters(0.1, 0, 16, features=name), Status.COMPLETED,
                      1, 0, float(losses[k].mean()), 1 - float(errors[k].mean()), 3, 1, 3, name)
        for k, name in enumerate(("deep", "shallow"))
    ]  # fmt: skip
    scores = ValidationScores(trials, losses, errors, [], np.arange(M) % 2)
    layers = found(choose(scores, Objective.LOSS, 0, ("shallow", "deep")))
    assert layers.best.name == "deep"
    assert not layers.found[0].is_tied
    assert layers.first.name == "shallow"


def test_the_optimism_is_that_of_choosing_among_all_layers() -> None:
    choice, scores = made()
    assert choice.optimism == optimism(scores.losses, 0)
    own = [k for k, t in enumerate(scores.trials) if t.hyperparameters.features == "middle"]
    alone = optimism(scores.losses[own], 0)
    assert choice.optimism.amount > alone.amount, "more could win by luck"
    layers = found(choice)
    assert sum(layer.chosen for layer in layers.found) == pytest.approx(1)
    by_name = {layer.name: layer.chosen for layer in layers.found}
    assert by_name["middle"] > by_name["twin"] > 0 == by_name["early"]
    assert by_name["middle"] == pytest.approx(sum(choice.optimism.shares[k] for k in own))


def test_one_se_has_the_features_of_the_best() -> None:
    """Weight decays mean the same only on the same features."""
    choice, _ = made(skills={"a": 0.0, "b": 0.0})
    assert choice.one_se.trial.hyperparameters.features == (
        choice.best.trial.hyperparameters.features
    )


@settings(max_examples=12)
@given(st.permutations(NAMES), st.sampled_from(list(Objective)))
def test_the_order_changes_places_and_depth_alone(names: list[str], objective: Objective) -> None:
    usual, turned = usual_layers(objective), found(made(objective, names=tuple(names))[0])
    assert [layer.name for layer in turned.found] == names
    assert turned.best.name == usual.best.name
    values = {layer.name: layer.as_json() | {"place": 0} for layer in usual.found}
    for layer in turned.found:
        assert layer.as_json() | {"place": 0} == values[layer.name]
    assert turned.first.is_as_accurate
    assert not any(each.is_as_accurate for each in turned.found[: turned.first.place - 1])


def test_layers_without_a_completed_trial_are_named() -> None:
    choice, _ = made(names=("none", *NAMES, "neither"))
    layers = found(choice)
    assert layers.missing == ["none", "neither"]
    assert layers.best.place == 3
    text = "\n".join(layer_sentences(layers))
    assert "the best of 6" in text
    assert "no trial could be compared: none, neither" in text
    assert choice.as_json()["features"]["not_compared"] == ["none", "neither"]


def test_one_set_of_features_has_no_layers() -> None:
    choice, _ = made(skills={"": 0.0}, names=())
    assert choice.layers is None
    assert "features" not in choice.as_json()
    alone, _ = made(skills={"only": 0.0}, names=("only",))
    assert alone.layers is None


def test_sentences() -> None:
    choice, _ = made(names=("twin", "late", "early", "middle"))
    text = "\n".join(choice_sentences(choice, small_spec()))
    assert "features middle is the best of 4; 1 other ties with it: twin (paired t tests" in text
    assert "900 validation examples, Holm, 5 %" in text
    assert "is first reached by twin, the 1st of 4" in text
    assert "and the same features" in text
    alone, _ = made(skills={"a": 0.0, "b": 1.0}, names=("a", "b"))
    text = "\n".join(choice_sentences(alone, small_spec()))
    assert "a is the best of 2; no other ties with it" in text
    assert "it is the 1st of 2, and none before it reaches its accuracy" in text
