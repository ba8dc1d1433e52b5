from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from core.optimism import optimism


def enumerated(S: np.ndarray) -> float:
    """Every bootstrap sample of M examples, each as likely: the mean score outside of it, of the
    trial that it chooses."""
    M = S.shape[1]
    outside = []
    for sample in product(range(M), repeat=M):
        chosen = S[:, sample].mean(axis=1).argmin()
        left_out = sorted(set(range(M)) - set(sample))
        if left_out:
            outside.append(S[chosen, left_out].mean())
    return float(np.mean(outside))


@pytest.mark.parametrize("seed", range(3))
def test_is_the_enumeration(seed: int) -> None:
    S = np.random.default_rng(seed).integers(0, 8, size=(4, 5)).astype(np.float32)
    # Ties in exact arithmetic are ties in float32: sums of small integers.
    found = optimism(S, seed=0, resamples=40_000)
    assert found.corrected == pytest.approx(enumerated(S), abs=0.05)
    assert found.apparent == S.mean(axis=1).min()


def test_recovers_the_truth_where_trials_are_alike() -> None:
    """200 trials of the same skill: the best of them looks better than it is, by luck alone."""
    apparent, corrected = np.empty((2, 30))
    for k in range(30):
        S = np.random.default_rng(k).exponential(size=(200, 300))
        found = optimism(S, seed=0)
        apparent[k], corrected[k] = found.apparent, found.corrected
        assert found.amount == found.corrected - found.apparent > 0
        assert found.interval.low < found.corrected < found.interval.high
    assert apparent.mean() < 0.87  # the truth is 1
    assert corrected.mean() == pytest.approx(1, abs=0.02)


def test_a_clear_winner_is_hardly_optimistic() -> None:
    S = np.random.default_rng(0).exponential(size=(50, 400))
    S[1:] += 1
    found = optimism(S, seed=0)
    assert found.chosen_again == 1
    assert found.corrected == pytest.approx(found.apparent, abs=0.01)


def test_errors_may_be_booleans_and_one_trial_is_enough() -> None:
    errors = np.random.default_rng(0).random((1, 100)) < 0.1
    found = optimism(errors, seed=0)
    assert found.apparent == pytest.approx(errors.mean())
    assert found.chosen_again == 1


def test_depends_on_the_seed_alone() -> None:
    S = np.random.default_rng(0).exponential(size=(20, 50))
    assert optimism(S, seed=1) == optimism(S, seed=1)
    assert optimism(S, seed=1) != optimism(S, seed=2)


@pytest.mark.parametrize("shape", [(0, 5), (3, 1), (3,)])
def test_refuses_what_says_nothing(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="say nothing"):
        optimism(np.zeros(shape), seed=0)
