"""The expected best of n draws, against every possible draw."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.statistics.expected_best import draws_needed, expected_best

SCORES = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=5)


@given(SCORES, st.integers(1, 4))
def test_every_possible_draw(scores: list[float], n: int) -> None:
    best = np.sort([min(drawn) for drawn in product(scores, repeat=n)])
    found = expected_best(np.array(scores), [n])
    assert found.mean[0] == pytest.approx(best.mean(), rel=1e-9, abs=1e-9)
    for quantile, value in ((0.1, found.low[0]), (0.9, found.high[0])):
        assert np.mean(best <= value) >= quantile - 1e-9
        assert np.mean(best < value) < quantile + 1e-9


def test_simulated_draws() -> None:
    rng = np.random.default_rng(0)
    scores = rng.exponential(size=200)
    draws = [1, 5, 20, 100]
    found = expected_best(scores, draws)
    for n, mean in zip(draws, found.mean, strict=True):
        simulated = rng.choice(scores, size=(20_000, n)).min(axis=1)
        error = 5 * simulated.std() / np.sqrt(len(simulated))
        assert mean == pytest.approx(simulated.mean(), abs=error + 1e-12)


def test_one_draw_is_the_mean_and_many_are_the_best() -> None:
    scores = np.array([3.0, 1.0, 2.0])
    found = expected_best(scores, [1, 1000])
    assert found.mean == pytest.approx([2.0, 1.0])
    assert (np.diff(expected_best(scores, range(1, 50)).mean) <= 0).all()


@given(SCORES, st.floats(0.001, 10))
def test_draws_needed_are_the_least(scores: list[float], tolerance: float) -> None:
    values = np.array(scores)
    target = values.min() + tolerance
    n = draws_needed(values, target)
    assert n is not None
    assert expected_best(values, [n]).mean[0] <= target
    assert n == 1 or expected_best(values, [n - 1]).mean[0] > target


def test_a_target_beyond_the_best_is_never_reached() -> None:
    assert draws_needed(np.array([1.0, 2.0]), 0.5) is None
    assert draws_needed(np.array([1.0, 2.0]), 1.0) is None, "only in the limit"
    assert draws_needed(np.array([1.0, 1.0]), 1.0) == 1


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [np.inf]])
def test_scores_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one, and finite"):
        expected_best(np.array(scores), [1])


def test_no_draws_refused() -> None:
    with pytest.raises(ValueError, match="0 draws"):
        expected_best(np.array([1.0]), [0])
