from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.trainer.pruning import (
    Schedule,
    Score,
    bracket_sizes,
    kept,
    planned_epochs,
    rung_epochs,
    survivors,
)

reductions = st.integers(2, 5)
values = st.one_of(st.floats(), st.sampled_from([0.5, 1.0, math.nan, math.inf]))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1, 3, 27), (1, 3, 9, 27)),
        ((1, 3, 30), (1, 3, 9, 27, 30)),
        ((2, 4, 100), (2, 8, 32, 100)),
        ((5, 3, 6), (5, 6)),
    ],
)
def test_rungs(arguments: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    assert rung_epochs(*arguments) == expected


@given(n=st.integers(1, 1000), reduction=reductions, decisions=st.integers(0, 6))
def test_the_rule_is_the_ceiling(n: int, reduction: int, decisions: int) -> None:
    assert kept(n, reduction, decisions) == math.ceil(Fraction(n, reduction**decisions))


def test_hyperband_of_the_paper() -> None:
    """Li et al. 2018, table 1: R = 81, η = 3. Their sizes of one sweep, hence its proportions."""
    assert bracket_sizes(81 + 34 + 15 + 8 + 5, 5, 3) == [81, 34, 15, 8, 5]
    assert bracket_sizes(1, 5, 3) == [1, 0, 0, 0, 0]


@given(n=st.integers(0, 3000), n_rungs=st.integers(1, 7), reduction=reductions)
def test_brackets_divide_the_cohort(n: int, n_rungs: int, reduction: int) -> None:
    sizes = bracket_sizes(n, n_rungs, reduction)
    assert len(sizes) == n_rungs
    assert sum(sizes) == n
    assert all(size >= 0 for size in sizes)
    assert sizes == sorted(sizes, reverse=True)


def test_survivors() -> None:
    scores: dict[int, Score] = {
        4: (0.1, 3.0), 3: (0.1, 2.0), 7: (math.nan,), 1: (0.2,), 2: (0.2,), 0: (math.inf,),
        9: (-math.inf,),
    }  # fmt: skip
    assert survivors(scores, 1) == {3}
    assert survivors(scores, 3) == {3, 4, 1}
    assert survivors(scores, 9) == {1, 2, 3, 4}
    assert survivors({}, 3) == set()


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    numbers = draw(st.sets(st.integers(0, 500), min_size=1, max_size=60))
    reduction = draw(reductions)
    levels = rung_epochs(draw(st.integers(1, 4)), reduction, draw(st.integers(5, 100)))
    return Schedule.of(
        numbers, levels, reduction, hyperband=draw(st.booleans()), seed=(draw(st.integers(0, 9)), 3)
    )


def play(schedule: Schedule, values: dict[tuple[int, int], float]) -> list[set[int]]:
    """Who trains to each rung; values: by rung and trial."""
    alive = set(schedule.brackets)
    trained = []
    for rung in range(len(schedule.rung_epochs)):
        trained.append(set(alive))
        scores = {number: (values.get((rung, number), float(number)),) for number in alive}
        alive -= schedule.pruned(rung, scores)
    return trained


@given(schedule=schedules(), data=st.data())
def test_never_fewer_survive_than_the_rule_says(schedule: Schedule, data: st.DataObject) -> None:
    """And never more, of those whose bracket has begun to choose."""
    alive = set(schedule.brackets)
    sizes = {s: list(schedule.brackets.values()).count(s) for s in schedule.brackets.values()}
    for rung in range(len(schedule.rung_epochs)):
        scores: dict[int, Score] = {n: (data.draw(values),) for n in sorted(alive)}
        stopped = schedule.pruned(rung, scores)
        assert stopped <= alive
        if rung == len(schedule.rung_epochs) - 1:
            assert not stopped
            return
        for s, n in sizes.items():
            members = {each for each in alive if schedule.brackets[each] == s}
            finite = {each for each in members if math.isfinite(scores[each][0])}
            assert members - finite <= stopped, "what is not finite never goes on"
            expected = len(finite)
            if s <= rung:
                expected = min(expected, kept(n, schedule.reduction_factor, rung - s + 1))
            assert len(members - stopped) == expected
            rest = [scores[each][0] for each in members & stopped & finite]
            best = [scores[each][0] for each in members - stopped]
            assert not rest or not best or max(best) <= min(rest)
        alive -= stopped


@given(schedule=schedules(), data=st.data())
def test_the_order_of_arrival_is_irrelevant(schedule: Schedule, data: st.DataObject) -> None:
    numbers = sorted(schedule.brackets)
    scores: list[tuple[int, Score]] = [
        (number, (data.draw(st.sampled_from([0.1, 0.2, 0.3, math.nan])),)) for number in numbers
    ]
    shuffled = data.draw(st.permutations(scores))
    for rung in range(len(schedule.rung_epochs)):
        assert schedule.pruned(rung, dict(scores)) == schedule.pruned(rung, dict(shuffled))


@given(schedule=schedules())
def test_planned_epochs_are_those_that_are_trained(schedule: Schedule) -> None:
    trained = play(schedule, {})
    steps = [b - a for a, b in zip((0, *schedule.rung_epochs), schedule.rung_epochs, strict=False)]
    total = sum(len(alive) * step for alive, step in zip(trained, steps, strict=True))
    sizes = [list(schedule.brackets.values()).count(s) for s in range(len(schedule.rung_epochs))]
    skipped = range(len(sizes))
    assert planned_epochs(sizes, skipped, schedule.rung_epochs, schedule.reduction_factor) == total


def test_the_seed_deals_the_brackets() -> None:
    def dealt(seed: int) -> dict[int, int]:
        return dict(Schedule.of(range(50), (1, 3, 9), 3, hyperband=True, seed=(seed,)).brackets)

    assert dealt(0) == dealt(0)
    assert dealt(0) != dealt(1)
    assert set(Schedule.of(range(9), (1, 3), 3, hyperband=False, seed=(0,)).brackets.values()) == {
        0
    }
