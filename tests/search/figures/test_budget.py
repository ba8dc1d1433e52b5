"""What the budget bought: figures, importances, and the sentence about fewer trials."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from PIL import Image

from core.trainer.result import Hyperparameters, Status
from search.commands.study_figures import expected
from search.figures.budget import Course, expected_best_figure, importances_figure, pruning_figure
from search.findings.importances import MOST, importances, scored
from search.spec.objective import Objective
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial

SPACE: dict[str, Any] = {
    "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-1, log=True),
    "batch_size": CategoricalDistribution([16, 32]),
}


def trials(n: int, loss: Callable[[float, float, int], float]) -> list[FrozenTrial]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n):
        rate, decay, batch = (
            10 ** rng.uniform(-4, 0),
            10 ** rng.uniform(-6, -1),
            rng.choice([16, 32]),
        )
        params = {"learning_rate": rate, "weight_decay": decay, "batch_size": int(batch)}
        made.append(
            create_trial(params=params, distributions=SPACE, value=loss(rate, decay, int(batch)))
        )
    return made


def test_importances_find_what_decides() -> None:
    found = importances(trials(80, lambda rate, decay, batch: rate**0.5 * decay**0.05), True, 0)
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"] > 0.8
    assert sum(found.values()) == pytest.approx(1)
    assert found == importances(
        trials(80, lambda rate, decay, batch: rate**0.5 * decay**0.05), True, 0
    ), "the same seed, the same shares"


def test_importances_are_shares_of_the_axes_that_were_searched() -> None:
    """A logarithmic axis counts by decades: these are the variances of the grid's own means."""
    grid = [
        create_trial(
            params={"learning_rate": rate, "weight_decay": decay, "batch_size": batch},
            distributions=SPACE,
            value=1 + abs(np.log10(rate) + 2) + 0.1 * np.log10(decay),
        )
        for rate in np.geomspace(1e-4, 1, 9)
        for decay in np.geomspace(1e-6, 1e-1, 6)
        for batch in (16, 32)
    ]
    found = importances(grid, False, 0)
    rates = np.var(np.abs(np.linspace(-2, 2, 9)))
    decays = np.var(0.1 * np.linspace(-6, -1, 6))
    assert found["learning_rate"] == pytest.approx(rates / (rates + decays), abs=0.05)


def test_importances_of_a_large_study_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.findings.importances.MOST", 40)
    assert MOST >= 100
    assert next(iter(importances(trials(300, lambda rate, decay, batch: decay), True, 0))) == (
        "weight_decay"
    )


def test_importances_of_nothing() -> None:
    assert importances([], True, 0) == {}
    assert importances(trials(9, lambda rate, decay, batch: rate), True, 0) == {}
    assert importances(trials(30, lambda rate, decay, batch: 1.0), True, 0) == {}
    pruned = [
        create_trial(state=TrialState.PRUNED, params=each.params, distributions=SPACE)
        for each in trials(30, lambda rate, decay, batch: rate)
    ]
    assert importances(scored(pruned), True, 0) == {}


def test_importances_where_a_pruner_chose_are_those_of_all_that_it_chose_from() -> None:
    """Survivors are alike in what decided; a trial that diverged before the rung has no score."""
    every = trials(90, lambda rate, decay, batch: abs(np.log10(rate) + 2) + 0.02 * batch / 32)
    least = sorted(each.value or 0.0 for each in every)[30]
    states = [
        TrialState.COMPLETE if (each.value or 0.0) < least else TrialState.PRUNED for each in every
    ]
    halved = [
        create_trial(
            state=state, value=each.value, params=each.params, distributions=SPACE,
            intermediate_values={3: each.value or 0.0},
        )
        for state, each in zip(states, every, strict=True)
    ]  # fmt: skip
    failed = create_trial(state=TrialState.FAIL, params=every[0].params, distributions=SPACE)
    known = scored([*halved, failed], 3)
    assert len(known) == 90
    assert len(scored([*halved, failed])) == 30
    assert importances(known, False, 0) == importances(every, False, 0)
    survivors = importances(scored(halved), False, 0)
    assert importances(known, False, 0)["learning_rate"] > survivors["learning_rate"]


def test_a_hyperparameter_with_one_value_has_no_importance() -> None:
    alike = [
        create_trial(params=each.params | {"batch_size": 16}, distributions=SPACE, value=each.value)
        for each in trials(30, lambda rate, decay, batch: rate)
    ]
    assert "batch_size" not in importances(alike, True, 0)
    assert optuna.logging.get_verbosity() >= optuna.logging.INFO


def image(png: bytes) -> Image.Image:
    opened = Image.open(io.BytesIO(png))
    opened.load()
    return opened


def test_pruning_figure_shows_where_lines_end() -> None:
    rng = np.random.default_rng(0)
    courses = [Course(0.1 + 1 / np.arange(1.0, 28), Status.COMPLETED, best=True)]
    counts = {Status.COMPLETED: 1, Status.PRUNED: 21}
    courses += [Course(0.3 + rng.random(3), Status.PRUNED) for _ in range(20)]
    courses += [Course(np.array([0.5]), Status.PRUNED)]
    drawn = pruning_figure(courses, [3, 9, 27], [22, 4, 1], counts, Objective.LOSS)
    fewer = pruning_figure(courses[:1], [3, 9, 27], [22, 4, 1], counts, Objective.LOSS)
    assert image(drawn).size == image(fewer).size
    assert drawn != fewer
    assert pruning_figure(courses, [3, 9, 27], [22, 4, 1], counts, Objective.ACCURACY) != drawn
    diverged = [replace(each, status=Status.DIVERGED) for each in courses[1:]]
    told = {Status.COMPLETED: 1, Status.DIVERGED: 21}
    apart = pruning_figure([courses[0], *diverged], [3, 9, 27], [22, 4, 1], told, Objective.LOSS)
    assert apart != drawn, "what diverged was not stopped early"
    with pytest.raises(ValueError, match="at least one trial"):
        pruning_figure([], [3], [0], {}, Objective.LOSS)


def test_importances_figure_grows_with_its_bars() -> None:
    few = image(importances_figure({"learning_rate": 0.9}, Objective.LOSS, 100, 5))
    many = image(
        importances_figure({"learning_rate": 0.9, "batch_size": 0.1}, Objective.LOSS, 100, 5)
    )
    assert many.height > few.height
    with pytest.raises(ValueError, match="at least one hyperparameter"):
        importances_figure({}, Objective.LOSS, 0, 5)


def test_expected_best_figure_marks_what_was_enough() -> None:
    scores = np.random.default_rng(0).exponential(size=50) + 0.01
    options: dict[str, Any] = {"epochs_per_trial": 10.0, "resampled": "drawn", "near": "within 5 %"}
    marked = expected_best_figure(scores, Objective.LOSS, needed=20, **options)
    assert marked != expected_best_figure(scores, Objective.LOSS, needed=None, **options)
    assert (
        image(expected_best_figure(scores / 9, Objective.ACCURACY, needed=3, **options)).width > 500
    )


@pytest.fixture
def finished() -> list[FinishedTrial]:
    """A hundred losses 0.01, 0.02, … and accuracies 0.99, 0.98, …, and one that diverged."""
    tried = Hyperparameters(0.1, 0.1, 16)
    made = [
        FinishedTrial(
            i,
            tried,
            Status.COMPLETED,
            0.1,
            0.9,
            (i + 1) / 100,
            1 - (i + 1) / 200,
            5,
            0.1,
            5,
            f"{i}",
        )
        for i in range(100)
    ]
    nan = math.nan
    return [
        *made,
        replace(made[0], number=100, status=Status.DIVERGED, val_loss=nan, val_accuracy=nan),
    ]


def test_the_sentence_about_fewer_trials(
    make_spec: Callable[..., StudySpec], finished: list[FinishedTrial]
) -> None:
    spec = make_spec()
    found = expected(spec, finished)
    assert found is not None
    assert len(found.scores) == 101
    assert found.scores.max() == 1.0, "what diverged counts as the worst"
    # E of the least of n draws from 1..N is about N / (n + 1); here n = 20.
    sentence = found.sentence(spec)
    assert sentence is not None
    assert sentence.startswith(
        "budget   20 random trials of this grid would be expected to reach a"
    )
    told = float(sentence.split("a loss of ")[1].split(" ")[0])
    assert told == pytest.approx(sum((1 - i / 101) ** 20 for i in range(101)) / 100, rel=0.02)
    assert f"{found.needed:,} come within 5 % of it" in sentence

    by_accuracy = make_spec(('"val_loss"', '"val_accuracy"'))
    found = expected(by_accuracy, finished)
    assert found is not None
    # An error rate is half the loss here.
    assert f"an accuracy of {100 * (1 - told / 2):.2f} %" in (found.sentence(by_accuracy) or "")


def test_no_sentence_where_trials_were_not_independent(
    make_spec: Callable[..., StudySpec], finished: list[FinishedTrial]
) -> None:
    for change in ('"tpe"\ntrials = 100', '"grid"\npruner = "halving"'):
        spec = make_spec(('sampler = "grid"', f"sampler = {change}"))
        found = expected(spec, finished)
        assert found is not None
        assert found.sentence(spec) is None
    spec = make_spec()
    assert expected(spec, finished[:1]) is None
    few = expected(spec, finished[:10])
    assert few is not None
    assert few.sentence(spec) is None
