"""What a longer search would bring: right on average where scores are drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from made_up import make_result
from small_study import small_spec

from core.statistics.expected_best import best_of_some
from core.trainer.result import Hyperparameters, Status
from search.findings.longer import longer, sentence
from search.findings.sentences import note
from search.trials.finished_trial import FinishedTrial


def trials(scores: Sequence[float], status: Status = Status.COMPLETED) -> list[FinishedTrial]:
    made = []
    for n, score in enumerate(scores):
        tried = Hyperparameters(0.1 + n, 0.0, 16)
        trial = FinishedTrial.of(n, make_result(tried, status), f"run {n}")
        made.append(replace(trial, val_loss=score, val_accuracy=1 - score))
    return made


def test_the_best_of_some_is_the_mean_over_all_subsets() -> None:
    scores = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.0])
    for n in range(1, 7):
        expected = np.mean([min(some) for some in combinations(scores.tolist(), n)])
        assert best_of_some(scores, [n])[0] == pytest.approx(expected)
    for sizes in ([0], [7]):
        with pytest.raises(ValueError, match="no best"):
            best_of_some(scores, sizes)


RANDOM = small_spec(sampler="random", trials=1000)
TPE = small_spec(sampler="tpe", trials=1000)


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_it_is_right_on_average(power: float) -> None:
    """Scores u^power of uniform u: the best of n falls as n^-power. Several searches of 64, and
    what 64 more trials brought each of them."""
    rng = np.random.default_rng(0)
    expected, brought = [], []
    for _ in range(300):
        scores = rng.random(128) ** power
        found = longer(RANDOM, trials(scores[:64].tolist()))
        assert found is not None
        expected.append(found.gain)
        brought.append(scores[:64].min() - scores.min())
    assert 0.5 < np.mean(expected) / np.mean(brought) < 2, "the text says: about"


def test_a_guided_search_is_judged_by_its_own_course() -> None:
    scores = [0.9] * 4 + [0.8] + [0.5] * 5 + [0.4] * 10
    found = longer(TPE, trials(scores))
    assert found is not None
    assert found.before == pytest.approx(0.3)
    assert found.last == pytest.approx(0.1)
    assert found.gain == pytest.approx(0.1 / 3)
    assert sentence(found, TPE) == (
        "longer   twice as many trials would be expected to bring about 0.03333 more (the last "
        "doubling brought 0.10000, the one before it 0.30000)"
    )
    assert sentence(found, TPE) in note(TPE, trials(scores))


def test_a_search_that_has_settled() -> None:
    found = longer(TPE, trials([0.9] * 5 + [0.4] * 15))
    assert found is not None
    assert found.gain == 0
    assert "the second half of the trials brought nothing better" in sentence(found, TPE)


def test_when_it_cannot_be_said() -> None:
    scores = [1.0 / (1 + n) for n in range(30)]
    assert longer(small_spec(), trials(scores)) is None, "a grid tries all there is"
    assert longer(TPE, trials(scores[:19])) is None
    for spec in (RANDOM, TPE):
        assert longer(spec, trials([math.nan] * 30, Status.DIVERGED)) is None
