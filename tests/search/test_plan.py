from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.result import Hyperparameters
from core.stack import TILE_ROWS_BINARY, TILE_ROWS_MULTICLASS
from search.plan import (
    MAX_STACK_TRIALS,
    MIN_STACK_TRIALS,
    MIN_STACKS,
    PlannedTrial,
    StackTask,
    stacks,
    unfinished,
)

class_counts = st.sampled_from([2, 3, 10, 300])


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


@given(cohort=cohorts(), n_classes=class_counts)
def test_stacks_divide_the_cohort(cohort: list[PlannedTrial], n_classes: int) -> None:
    tasks = stacks(cohort, n_classes)
    trials = [trial for task in tasks for trial in task.trials]
    assert sorted(trials, key=lambda trial: trial.number) == cohort
    sizes = []
    for task in tasks:
        assert 1 <= len(task.trials) <= MAX_STACK_TRIALS
        (size,) = {trial.hyperparameters.batch_size for trial in task.trials}
        sizes.append(size)
    assert sizes == sorted(sizes), "the costliest go first"
    for size in set(sizes):
        numbers = [t.number for t in trials if t.hyperparameters.batch_size == size]
        assert numbers == sorted(numbers)


@given(cohort=cohorts(), n_classes=class_counts)
def test_tiles_hold_their_trials_and_fit_the_cache(
    cohort: list[PlannedTrial], n_classes: int
) -> None:
    tasks = stacks(cohort, n_classes)
    rows = TILE_ROWS_BINARY if n_classes == 2 else TILE_ROWS_MULTICLASS
    for task in tasks:
        assert task.tile == 1 or task.tile * (n_classes - 1) <= rows
        assert task.tile >= 1
    tiles = {(task.trials[0].hyperparameters.batch_size, task.tile) for task in tasks}
    assert len(tiles) == len({size for size, _ in tiles}), "one tile height a batch size"


@given(cohort=cohorts(), n_classes=class_counts)
def test_stacks_depend_on_the_cohort_alone(cohort: list[PlannedTrial], n_classes: int) -> None:
    assert stacks(cohort, n_classes) == stacks(iter(cohort), n_classes)


@given(cohort=cohorts(), n_classes=class_counts, data=st.data())
def test_unfinished_leaves_out_just_the_finished(
    cohort: list[PlannedTrial], n_classes: int, data: st.DataObject
) -> None:
    tasks = stacks(cohort, n_classes)
    finished = data.draw(st.sets(st.sampled_from([trial.number for trial in cohort])))
    rest = unfinished(tasks, finished)
    numbers = [trial.number for task in rest for trial in task.trials]
    before = [trial.number for task in tasks for trial in task.trials]
    assert numbers == [number for number in before if number not in finished]
    tile_of = {trial.number: task.tile for task in tasks for trial in task.trials}
    for task in rest:
        assert task.trials
        for trial in task.trials:
            assert task.tile == tile_of[trial.number], "the tiles stay, and with them the numbers"


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
    assert [len(task.trials) for task in stacks(cohort_of(sizes), 2)] == expected


def test_nothing_to_plan() -> None:
    assert stacks([], 2) == []
    assert unfinished([], {1}) == []
    task = StackTask(tuple(cohort_of([8, 8])), 2)
    assert unfinished([task], []) == [task]
    assert unfinished([task], {0, 1, 7}) == []
