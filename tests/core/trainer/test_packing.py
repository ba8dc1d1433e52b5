from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import diverging_trial, make_problem, stable_trials

from core.trainer.packing import packed
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack

BATCH = 7


def trained(first: int, n: int, n_classes: int, epochs: int = 2) -> Stack:
    trials = tuple(stable_trials(20, BATCH)[first : first + n])
    stack = Stack(trials, Penalty.NORM, 3)
    stack.advance(make_problem(n_classes).data, epochs)
    return stack


@given(n_classes=st.sampled_from([2, 3, 10]), data=st.data())
def test_survivors_continue_up_to_rounding(n_classes: int, data: st.DataObject) -> None:
    """As in the stacks that they came from, had nobody left; the same survivors to the bit."""
    problem = make_problem(n_classes)
    stacks = [trained(0, 9, n_classes), trained(9, 6, n_classes)]
    places = [(0, k) for k in range(9)] + [(1, k) for k in range(6)]
    chosen = data.draw(st.lists(st.sampled_from(places), min_size=1, unique=True))
    together, again = (packed([(stacks[s], k) for s, k in chosen]) for _ in range(2))
    unpruned = copy.deepcopy(stacks)
    for stack in (together, again, *unpruned):
        stack.advance(problem.data, 3)
    for j, (s, k) in enumerate(chosen):
        assert together.trials[j] == unpruned[s].trials[k]
        assert together.result(j, problem.data).stopped_epoch == 5
        assert np.array_equal(together.weights[j], again.weights[j])
        np.testing.assert_allclose(
            together.weights[j], unpruned[s].weights[k], rtol=1e-4, atol=1e-6
        )
        mine, its = together.curves_of(j), unpruned[s].curves_of(k)
        np.testing.assert_array_equal(mine.val_loss[:2], its.val_loss[:2])
        np.testing.assert_allclose(mine.val_loss, its.val_loss, rtol=1e-5)


def test_packing_copies() -> None:
    stack = trained(0, 3, 2)
    before = stack.weights.copy()
    packed([(stack, 1)]).advance(make_problem(2).data, 1)
    assert np.array_equal(stack.weights, before)


def test_what_cannot_be_packed() -> None:
    data = make_problem(3).data
    stack = trained(0, 3, 3)
    pruned = copy.deepcopy(stack)
    pruned.prune([0])
    diverged = Stack((diverging_trial(BATCH),), Penalty.SQUARED, 3)
    diverged.advance(data, 9)
    other_seed = copy.deepcopy(stack)
    other_seed.seed = 4
    further = copy.deepcopy(stack)
    further.advance(data, 1)
    for member in ((pruned, 0), (diverged, 0), (other_seed, 0), (further, 0)):
        with pytest.raises(ValueError, match="cannot be packed"):
            packed([(stack, 1), member])
    with pytest.raises(ValueError, match="cannot be packed"):
        packed([(pruned, 0)])
