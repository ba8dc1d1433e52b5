from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import diverging_trial, make_problem, stable_trials

from core.packing import packed
from core.result import Curves
from core.softmax import Penalty
from core.stack import Stack

BATCH = 7
TILE = 4


def trained(first: int, n: int, n_classes: int, epochs: int = 2) -> Stack:
    trials = tuple(stable_trials(20, BATCH)[first : first + n])
    stack = Stack(trials, Penalty.NORM, 3, TILE)
    stack.advance(make_problem(n_classes).data, epochs)
    return stack


def same(stack: Stack, k: int, other: Stack, j: int, data: object) -> bool:
    mine, its = stack.curves_of(k), other.curves_of(j)
    return bool(
        np.array_equal(stack.weights[k], other.weights[j])
        and all(np.array_equal(getattr(mine, n), getattr(its, n)) for n in Curves.names())
    )


@given(n_classes=st.sampled_from([2, 3, 10]), data=st.data())
def test_survivors_continue_bit_for_bit(n_classes: int, data: st.DataObject) -> None:
    """As in the stacks that they came from, had nobody left."""
    problem = make_problem(n_classes)
    stacks = [trained(0, 9, n_classes), trained(9, 6, n_classes)]
    places = [(0, k) for k in range(9)] + [(1, k) for k in range(6)]
    chosen = data.draw(st.lists(st.sampled_from(places), min_size=1, unique=True))
    together = packed([(stacks[s], k) for s, k in chosen], TILE)
    unpruned = copy.deepcopy(stacks)
    for stack in (together, *unpruned):
        stack.advance(problem.data, 3)
    for j, (s, k) in enumerate(chosen):
        assert together.trials[j] == unpruned[s].trials[k]
        assert same(together, j, unpruned[s], k, problem.data)
        assert together.result(j, problem.data).stopped_epoch == 5


def test_other_tiles_agree_up_to_rounding() -> None:
    problem = make_problem(3)
    stack = trained(0, 9, 3)
    few = packed([(stack, 2), (stack, 5)], 2)
    stack.advance(problem.data, 3)
    few.advance(problem.data, 3)
    np.testing.assert_allclose(few.weights, stack.weights[[2, 5]], rtol=1e-4, atol=1e-6)


def test_packing_copies() -> None:
    stack = trained(0, 3, 2)
    before = stack.weights.copy()
    packed([(stack, 1)], TILE).advance(make_problem(2).data, 1)
    assert np.array_equal(stack.weights, before)


def test_what_cannot_be_packed() -> None:
    data = make_problem(3).data
    stack = trained(0, 3, 3)
    pruned = copy.deepcopy(stack)
    pruned.prune([0])
    diverged = Stack((diverging_trial(BATCH),), Penalty.SQUARED, 3, TILE)
    diverged.advance(data, 9)
    other_seed = copy.deepcopy(stack)
    other_seed.seed = 4
    further = copy.deepcopy(stack)
    further.advance(data, 1)
    for member in ((pruned, 0), (diverged, 0), (other_seed, 0), (further, 0)):
        with pytest.raises(ValueError, match="cannot be packed"):
            packed([(stack, 1), member], TILE)
    with pytest.raises(ValueError, match="cannot be packed"):
        packed([(pruned, 0)], TILE)
