from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from core.statistics.optimism import optimism


def enumerated(S: np.ndarray) -> float:
    """Every bootstrap sample of M examples, each as likely: how much better the trial that it
    chooses looks on it than on all examples."""
    M = S.shape[1]
    gains = []
    for sample in product(range(M), repeat=M):
        on_sample = S[:, sample].mean(axis=1)
        chosen = on_sample.argmin()
        gains.append(S[chosen].mean() - on_sample[chosen])
    return float(np.mean(gains))


@pytest.mark.parametrize("seed", range(3))
def test_is_the_enumeration(seed: int) -> None:
    # Ties in exact arithmetic are ties in float32: sums of small integers.
    S = np.random.default_rng(seed).integers(0, 8, size=(4, 5)).astype(np.float64)
    found = optimism(S, seed=0, resamples=40_000)
    assert found.amount == pytest.approx(enumerated(S), abs=0.03)
    assert found.apparent == S.mean(axis=1).min()
    assert found.corrected == found.apparent + found.amount


def test_finds_most_of_the_luck_where_trials_are_alike() -> None:
    """200 unrelated trials of the same skill: the best of them is best by luck alone."""
    truth, estimate = np.empty((2, 30))
    for k in range(30):
        S = np.random.default_rng(k).exponential(size=(200, 300))  # the mean is 1
        found = optimism(S, seed=0)
        truth[k], estimate[k] = 1 - found.apparent, found.amount
    assert truth.mean() > 0.1
    assert 0.6 < estimate.mean() / truth.mean() < 0.9


def test_a_clear_winner_is_hardly_optimistic() -> None:
    S = np.random.default_rng(0).exponential(size=(50, 400))
    S[1:] += 1
    found = optimism(S, seed=0)
    assert found.chosen_again == 1
    assert found.amount < 0.01


def test_errors_may_be_booleans_and_one_trial_is_enough() -> None:
    errors = np.random.default_rng(0).random((1, 100)) < 0.1
    found = optimism(errors, seed=0)
    assert found.apparent == pytest.approx(errors.mean())
    assert found.amount < 0.01
    assert found.chosen_again == 1


def test_depends_on_the_seed_alone() -> None:
    S = np.random.default_rng(0).exponential(size=(20, 50))
    assert optimism(S, seed=1) == optimism(S, seed=1)
    assert optimism(S, seed=1) != optimism(S, seed=2)


@pytest.mark.parametrize(("shape", "resamples"), [((0, 5), 9), ((3, 0), 9), ((3,), 9), ((3, 4), 0)])
def test_refuses_what_says_nothing(shape: tuple[int, ...], resamples: int) -> None:
    with pytest.raises(ValueError, match="say nothing"):
        optimism(np.zeros(shape), seed=0, resamples=resamples)
