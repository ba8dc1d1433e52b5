"""What the budget bought: figures, importances, and the sentence about fewer trials."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from small_study import small_spec

from core.trainer.result import Hyperparameters, Status
from search.figures.expected import expected_best_figure
from search.figures.importances import importances_figure
from search.figures.pruning import Course, pruning_figure
from search.findings.expected import expected_search, sentence
from search.spec.objective import Objective
from search.trials.expected_search import ExpectedSearch
from search.trials.finished_trial import FinishedTrial


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
    near = ExpectedSearch(scores, 20, "within 5 %", "drawn", epochs_per_trial=10.0)
    marked = expected_best_figure(near, Objective.LOSS)
    assert marked != expected_best_figure(replace(near, needed=None), Objective.LOSS)
    rates = replace(near, scores=scores / 9, needed=3)
    assert image(expected_best_figure(rates, Objective.ACCURACY)).width > 500


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


def test_the_sentence_about_fewer_trials(finished: list[FinishedTrial]) -> None:
    spec = small_spec()
    found = expected_search(spec, finished)
    assert found is not None
    assert len(found.scores) == 101
    assert found.scores.max() == 1.0, "what diverged counts as the worst"
    # E of the least of n draws from 1..N is about N / (n + 1); here n = 20.
    told_so = sentence(found, spec)
    assert told_so is not None
    assert told_so.startswith("budget   20 random trials of this grid would be expected to reach a")
    told = float(told_so.split("a loss of ")[1].split(" ")[0])
    assert told == pytest.approx(sum((1 - i / 101) ** 20 for i in range(101)) / 100, rel=0.02)
    assert f"{found.needed:,} come within 5 % of it" in told_so

    by_accuracy = small_spec(objective="val_accuracy")
    found = expected_search(by_accuracy, finished)
    assert found is not None
    # An error rate is half the loss here.
    assert f"an accuracy of {100 * (1 - told / 2):.2f} %" in (sentence(found, by_accuracy) or "")


def test_no_sentence_where_trials_were_not_independent(finished: list[FinishedTrial]) -> None:
    for spec in (small_spec(sampler="tpe", trials=100), small_spec(pruner="halving")):
        found = expected_search(spec, finished)
        assert found is not None
        assert sentence(found, spec) is None
    spec = small_spec()
    assert expected_search(spec, finished[:1]) is None
    few = expected_search(spec, finished[:10])
    assert few is not None
    assert sentence(few, spec) is None
