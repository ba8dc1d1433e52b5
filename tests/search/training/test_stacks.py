from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_study import small_spec

from core.trainer.result import Hyperparameters
from search.spec.space import grid
from search.training.stacks import (
    MAX_STACK_BYTES,
    MAX_STACK_TRIALS,
    MIN_STACK_TRIALS,
    MIN_STACKS,
    least_trials,
    most_trials,
    stacks,
    wanted_stacks,
)
from search.trials.trial import PlannedTrial


def cohort_of(sizes: Iterable[int], first: int = 0) -> list[PlannedTrial]:
    """Trials of these batch sizes, numbered in this order."""
    return [
        PlannedTrial(number, Hyperparameters(0.1, number / 1000, size))
        for number, size in enumerate(sizes, first)
    ]


@st.composite
def cohorts(draw: st.DrawFn) -> list[PlannedTrial]:
    """Up to three batch sizes, each of up to 700 trials, mixed or in blocks."""
    counts = draw(st.lists(st.integers(1, 700), min_size=1, max_size=3))
    sizes = [size for size, count in zip((64, 8, 200), counts, strict=False) for _ in range(count)]
    if draw(st.booleans()):
        sizes = sizes[::2] + sizes[1::2]
    return cohort_of(sizes, first=draw(st.integers(0, 5)))


@given(cohort=cohorts())
def test_stacks_divide_the_cohort(cohort: list[PlannedTrial]) -> None:
    cut = stacks(cohort)
    trials = [trial for stack in cut for trial in stack]
    assert sorted(trials, key=lambda trial: trial.number) == cohort
    sizes = []
    for stack in cut:
        assert 1 <= len(stack) <= MAX_STACK_TRIALS
        (size,) = {trial.hyperparameters.batch_size for trial in stack}
        sizes.append(size)
    assert sizes == sorted(sizes), "the costliest go first"
    for size in set(sizes):
        numbers = [t.number for t in trials if t.hyperparameters.batch_size == size]
        assert numbers == sorted(numbers)


@given(cohort=cohorts())
def test_stacks_depend_on_the_cohort_alone(cohort: list[PlannedTrial]) -> None:
    assert stacks(cohort) == stacks(iter(cohort))


@pytest.mark.parametrize(
    "lists",
    [
        {"momentum": [0.9, 0.0], "bias": [True, False], "batch_size": [16, 8]},
        {"schedule": ["cosine", "constant"], "warmup_epochs": [2, 0]},
        {"features": ["layer-9", "layer-10", "layer-2"], "momentum": [0.5, 0.1]},
    ],
)
def test_the_stacks_of_a_grid_are_in_the_order_of_its_numbers(lists: dict[str, Any]) -> None:
    """Trials of a grid are recorded as they come, in whatever order their values are listed."""
    names = lists.pop("features", None)
    keys: dict[str, object] = {}
    if names is not None:
        files = {name: f"{name}.npy" for name in names}
        keys = {"data": {"features": files, "labels": "y.npy"}}
    spec = small_spec(keys, **lists)
    cohort = [PlannedTrial(number, tried) for number, tried in enumerate(grid(spec))]
    assert [trial for stack in stacks(cohort) for trial in stack] == cohort


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5], [5]),
        ([2 * MIN_STACK_TRIALS - 1], [63]),  # too few to be worth dividing
        ([2 * MIN_STACK_TRIALS], [32, 32]),
        ([700], [175] * MIN_STACKS),  # some work for a few workers
        ([2000], [250] * 8),
        ([1025], [205] * 5),
        ([100, 100], [50, 50, 50, 50]),
        ([100] * 7, [100] * 7),
        ([257] * 7, [129, 128] * 7),
    ],
)
def test_sizes_of_stacks(counts: list[int], expected: list[int]) -> None:
    sizes = [16 * (place + 1) for place, count in enumerate(counts) for _ in range(count)]
    assert [len(stack) for stack in stacks(cohort_of(sizes))] == expected


def test_nothing_to_plan() -> None:
    assert stacks([]) == []


def test_stacks_of_many_classes_are_smaller() -> None:
    """A few trials of a thousand classes fill the products, and their weights fill the memory."""
    cohort = cohort_of([1024] * 8)
    assert [len(stack) for stack in stacks(cohort)] == [8]
    least = least_trials(MIN_STACK_TRIALS, 1000)
    assert [len(stack) for stack in stacks(cohort, least)] == [2] * MIN_STACKS
    assert wanted_stacks(10) == MIN_STACKS
    many = stacks(cohort_of([1024] * 39), least, wanted=wanted_stacks(1000))
    assert [len(stack) for stack in many] == [3] * 13
    assert least_trials(MIN_STACK_TRIALS, 10) == MIN_STACK_TRIALS
    most = most_trials(4096, 21_000)
    assert 1 <= most * 4096 * 21_000 * 4 <= MAX_STACK_BYTES * 2
    assert most_trials(784, 10) == MAX_STACK_TRIALS
    assert [len(stack) for stack in stacks(cohort, 1, lambda features: 1)] == [1] * 8
