"""The command that searches beyond an edge: it is valid, keeps every trial, and goes further."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import make_result
from small_study import Options, small_spec

from core.trainer.result import Hyperparameters
from search.findings.edges import edges, widening
from search.spec.overrides import Override, overridden
from search.spec.space import grid, points
from search.spec.study_file import study_of
from search.spec.study_spec import StudySpec
from search.spec.understood import understood
from search.trials.finished_trial import FinishedTrial

ROWS = 100


def finished(tried: Hyperparameters) -> FinishedTrial:
    return FinishedTrial.of(0, make_result(tried), "run")


def wider(spec: StudySpec, overrides: list[Override]) -> StudySpec:
    return study_of(overridden(understood(spec), overrides), spec.file)


axis = st.builds(
    lambda low, decades, count: {
        "low": low, "high": float(f"{low * 10**decades:.3g}"), "log": True, "points": count,
    },
    st.sampled_from([1e-6, 3e-4, 1e-3, 0.0123]),
    st.floats(0.5, 4),
    st.integers(4, 12),
)  # fmt: skip


@given(axis, st.booleans())
def test_a_logarithmic_range_keeps_all_of_its_points(rate: dict[str, Any], upper: bool) -> None:
    spec = small_spec(learning_rate=rate, weight_decay=[0.1], batch_size=[1])
    tried = grid(spec)[-1 if upper else 0]
    found = widening(spec, finished(tried), ROWS)
    before, after = (points(each.space.learning_rate) for each in (spec, wider(spec, found)))
    assert set(before) < set(after)
    beyond = set(after) - set(before)
    assert len(beyond) == 2
    assert min(beyond) > max(before) if upper else max(beyond) < min(before)


def test_every_kind_of_axis_of_a_grid() -> None:
    spec = small_spec(
        learning_rate=[0.01, 0.1],
        weight_decay={"low": 0.1, "high": 0.5, "points": 5},
        batch_size=[8],
    )
    best = finished(grid(spec)[-1])
    assert list(map(str, edges(spec, best))) == [
        "learning rate 0.1 (try larger)", "weight decay 0.5 (try larger)",
    ]  # fmt: skip
    assert list(map(str, widening(spec, best, ROWS))) == [
        "space.learning_rate=[0.01, 0.1, 1.0]",
        "space.weight_decay.high=0.7",
        "space.weight_decay.points=7",
    ]
    lowest = finished(grid(spec)[0])
    assert list(map(str, widening(spec, lowest, ROWS))) == [
        "space.learning_rate=[0.001, 0.01, 0.1]",
        "space.weight_decay.low=0.0",
        "space.weight_decay.points=6",
    ], "a single step, because two would be below zero"


@pytest.mark.parametrize(
    ("sizes", "rows", "expected"),
    [([16, 32], 64, [8, 16, 32]), ([1, 2], 64, None), ([3, 6], 64, [1, 3, 6])],
)
def test_batch_sizes(sizes: list[int], rows: int, expected: list[int] | None) -> None:
    spec = small_spec(batch_size=sizes)
    middle = replace(grid(spec)[0], learning_rate=0.01, weight_decay=0.25)
    (found, *_) = [*widening(spec, finished(replace(middle, batch_size=min(sizes))), rows), None]
    assert (found and found.value) == expected
    largest = replace(middle, batch_size=max(sizes))
    assert widening(spec, finished(largest), rows)[0].value == sorted([*sizes, 2 * max(sizes)])
    assert widening(spec, finished(largest), 2 * max(sizes) - 1) == [], "no batch has so many rows"


def test_in_the_middle_nothing_is_offered() -> None:
    spec = small_spec(batch_size=[8])
    assert widening(spec, finished(replace(grid(spec)[0], learning_rate=0.01)), ROWS) == []


GUIDED = Options(
    sampler="tpe", trials=20, weight_decay={"low": 0.0, "high": 0.5},
    learning_rate={"low": 1e-3, "high": 1.0, "log": True},
)  # fmt: skip


def test_near_the_end_of_a_range_that_is_drawn_from() -> None:
    spec = small_spec(**GUIDED)
    best = finished(Hyperparameters(0.9, 0.2, 16))
    found = widening(spec, best, ROWS)
    assert list(map(str, found)) == ["space.learning_rate.high=10.0", "search.trials=40"]
    assert wider(spec, found).search.trials == 40
    assert widening(spec, finished(Hyperparameters(0.5, 0.2, 16)), ROWS) == []
    low = widening(spec, finished(Hyperparameters(0.0011, 0.49, 16)), ROWS)
    assert [str(each) for each in low[:2]] == [
        "space.learning_rate.low=0.0001", "space.weight_decay.high=1.0",
    ]  # fmt: skip


def test_what_cannot_grow_is_not_offered() -> None:
    cmaes = small_spec(**{**GUIDED, "sampler": "cmaes"})
    assert widening(cmaes, finished(Hyperparameters(0.99, 0.2, 16)), ROWS) == []
