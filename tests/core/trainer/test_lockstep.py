"""Trials in lockstep: as alone, in whatever company, in parts, and when some are pruned."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from by_definition import (
    DIVERGING,
    N_TRIALS,
    advance,
    assert_close,
    assert_same_bits,
    curves_of,
    mixed_trials,
    pickled,
    problem,
    relative_error,
    run,
    same,
    together,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import diverging_trial, make_problem, stable_trials

from core.trainer import tile
from core.trainer.result import Status
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack, train

pytestmark = pytest.mark.usefixtures("one_blas_thread")


# ---------------------------------------------------------------- lockstep equals one at a time


def test_the_mixed_trials_are_mixed() -> None:
    results = together(3, 4, Penalty.SQUARED)
    for k, result in enumerate(results):
        assert result.status is (Status.DIVERGED if k in DIVERGING else Status.COMPLETED)
    assert len({results[k].stopped_epoch for k in DIVERGING}) == 3


@pytest.mark.parametrize("penalty", Penalty)
@pytest.mark.parametrize("most", [1, 3, 4, 16])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_alone_and_together(n_classes: int, most: int, penalty: Penalty) -> None:
    data = problem(n_classes).data
    alone = [run(data, [trial], epochs=7, penalty=penalty)[0] for trial in mixed_trials()]
    assert_close(together(n_classes, most, penalty), alone)


@given(
    n_classes=st.sampled_from([2, 3, 10]),
    most=st.sampled_from([1, 3, 4, 16]),
    penalty=st.sampled_from(Penalty),
    places=st.permutations(range(N_TRIALS)),
    size=st.integers(1, N_TRIALS),
)
def test_any_order_and_neighbours(
    n_classes: int, most: int, penalty: Penalty, places: list[int], size: int
) -> None:
    chosen, trials = places[:size], mixed_trials()
    data = problem(n_classes).data
    results = run(data, [trials[k] for k in chosen], most=most, epochs=7, penalty=penalty)
    everything = together(n_classes, most, penalty)
    assert_close(results, [everything[k] for k in chosen])


@given(
    n_classes=st.sampled_from([2, 3, 4, 10]),
    most=st.integers(1, 20),
    n_features=st.integers(2, 250),
    batch_size=st.integers(1, 120),
    more_rows=st.integers(0, 100),
)
def test_alone_and_together_in_any_shape(
    n_classes: int, most: int, n_features: int, batch_size: int, more_rows: int
) -> None:
    """BLAS has kernels of its own for small and for odd shapes."""
    data = make_problem(n_classes, batch_size + more_rows, 29, n_features).data
    trials = stable_trials(most, batch_size)
    results = run(data, trials, most=most, epochs=2)
    assert_close(results, run(data, trials[::-1], most=most, epochs=2)[::-1])
    assert_close(results[-1:], run(data, trials[-1:], most=most, epochs=2))


@pytest.mark.parametrize("n_classes", [2, 10])
def test_whole_tiles_of_images(n_classes: int) -> None:
    """The sizes of a real study: full tiles, hundreds of features, batches of 200."""
    data = make_problem(n_classes, 450, 100, 700).data
    n_trials = tile.tile_sizes(10_000, n_classes)[0] + 5
    trials = stable_trials(n_trials, 200)
    results = train(data, trials, penalty=Penalty.NORM, epochs=2, seed=7)
    moved = train(data, [*trials[5:], *trials[:5]], penalty=Penalty.NORM, epochs=2, seed=7)
    assert_close(results, [*moved[-5:], *moved[:-5]])
    assert_close(results[-1:], run(data, trials[-1:], epochs=2))


# ---------------------------------------------------------------- resuming


@given(
    cuts=st.lists(st.integers(0, 7), max_size=3),
    n_classes=st.sampled_from([2, 3]),
    penalty=st.sampled_from(Penalty),
    handed_on=st.sampled_from([same, pickled]),
)
@settings(max_examples=25)
def test_advancing_in_parts(
    cuts: list[int], n_classes: int, penalty: Penalty, handed_on: Callable[[Stack], Stack]
) -> None:
    data = problem(n_classes).data
    stack = Stack(mixed_trials(), penalty, 7, record_steps=True)
    for start, end in pairwise([0, *sorted(cuts), 7]):
        advance(stack, data, end - start)
        stack = handed_on(stack)
    assert stack.epoch == 7
    assert_same_bits(stack.results(data), together(n_classes, 4, penalty))

    whole = Stack(mixed_trials(), penalty, 7, record_steps=True)
    advance(whole, data, 7)
    np.testing.assert_array_equal(np.array(stack.steps), np.array(whole.steps))


def test_results_on_the_way_do_not_change_later() -> None:
    data = problem(3).data
    stack = Stack(mixed_trials(), Penalty.SQUARED, 7)
    advance(stack, data, 2)
    early = stack.results(data)
    before = pickle.dumps(early)
    advance(stack, data, 5)
    assert pickle.dumps(early) == before
    assert_same_bits(early, run(data, mixed_trials(), epochs=2, penalty=Penalty.SQUARED))
    assert_same_bits(stack.results(data), together(3, 4, Penalty.SQUARED))


def test_on_epoch_hears_how_many_trials_trained() -> None:
    data = problem(3).data
    stack, heard = Stack(mixed_trials(), Penalty.SQUARED, 7), []
    stack.advance(data, 3, heard.append)
    stack.prune({0, 1})
    stack.advance(data, 4, heard.append)
    stopped = [result.stopped_epoch for result in stack.results(data)]
    expected = [sum(last >= epoch for last in stopped) for epoch in range(1, 8)]
    assert heard == expected
    assert heard[0] == N_TRIALS
    assert sum(heard) == sum(len(result.curves) for result in stack.results(data))


def test_training_ends_when_nobody_is_left() -> None:
    data = problem(2).data
    stack, heard = Stack((diverging_trial(20, -1e5),) * 2, Penalty.SQUARED, 7), []
    stack.advance(data, 50, heard.append)
    results = stack.results(data)
    assert stack.running == []
    assert stack.epoch == len(heard) == results[0].stopped_epoch < 50
    stack.advance(data, 3, heard.append)
    assert stack.epoch == len(heard)
    assert_same_bits(results, stack.results(data))


# ---------------------------------------------------------------- pruning


@given(
    pruned=st.sets(st.integers(0, N_TRIALS - 1)),
    at=st.integers(1, 6),
    n_classes=st.sampled_from([2, 3]),
    most=st.sampled_from([1, 4, 16]),
)
@settings(max_examples=25)
def test_pruning(pruned: set[int], at: int, n_classes: int, most: int) -> None:
    data = problem(n_classes).data
    unpruned = together(n_classes, most, Penalty.SQUARED)
    pruned = {k for k in pruned if unpruned[k].stopped_epoch > at}
    stack = Stack(mixed_trials(), Penalty.SQUARED, 7)
    advance(stack, data, at, most)
    on_the_way = stack.results(data)
    stack.prune(pruned)
    assert not pruned & set(stack.running)
    advance(stack, data, 7 - at, most)

    for k, result in enumerate(stack.results(data)):
        if k not in pruned:
            assert_close([result], [unpruned[k]])
            continue
        assert result.status is Status.PRUNED
        assert result.stopped_epoch == len(result.curves) == at
        np.testing.assert_array_equal(curves_of(result), curves_of(unpruned[k])[:, :at])
        assert result.weights.tobytes() == on_the_way[k].weights.tobytes()


def test_pruning_twice_at_different_rungs() -> None:
    data = problem(2).data
    trials = stable_trials(6, 20)

    def pruned_twice(handed_on: Callable[[Stack], Stack]) -> Stack:
        stack = Stack(tuple(trials), Penalty.NORM, 7)
        for pruned in ({5}, {0, 3}):
            advance(stack, data, 2, most=2)
            stack.prune(pruned)
            stack = handed_on(stack)
        advance(stack, data, 2, most=2)
        return stack

    stack = pruned_twice(pickled)
    results = stack.results(data)
    assert stack.running == [1, 2, 4]
    assert [result.stopped_epoch for result in results] == [4, 6, 6, 4, 6, 2]
    assert_same_bits(results, pruned_twice(same).results(data))
    for result in results:
        (alone,) = run(data, [result.hyperparameters], epochs=result.stopped_epoch)
        assert relative_error(result.weights, alone.weights) < 1e-5
        np.testing.assert_allclose(curves_of(result), curves_of(alone), rtol=1e-5)
