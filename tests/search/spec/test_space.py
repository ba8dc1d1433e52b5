from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial
from small_study import small_spec

from core.trainer.result import Hyperparameters
from search.spec.axes import Range
from search.spec.space import SIGNIFICANT_DIGITS, grid, points
from search.spec.study_spec import SpaceSpec
from search.study.distributions import distributions

counts = st.integers(2, 40)
# From tiny to huge, some of them so narrow that six digits do not tell the points apart.
widths = st.one_of(st.floats(1e-9, 1e-3), st.floats(1e-3, 900))


def spaces() -> st.SearchStrategy[SpaceSpec]:
    def axis(lows: st.SearchStrategy[float]) -> st.SearchStrategy[Range | tuple[float, ...]]:
        ranges = st.builds(
            lambda low, width, log, n: Range(
                low=low, high=low + (low or 1.0) * width, log=log and low > 0, points=n
            ),
            lows,
            widths,
            st.booleans(),
            st.integers(2, 6),
        )
        values = st.lists(lows, min_size=1, max_size=4, unique=True).map(tuple)
        return st.one_of(ranges, values)

    positive = st.floats(1e-8, 1e3)
    return st.builds(
        SpaceSpec,
        learning_rate=axis(positive),
        weight_decay=axis(st.one_of(st.just(0.0), positive)),
        batch_size=st.lists(st.integers(1, 4096), min_size=1, max_size=4, unique=True).map(tuple),
    )


def test_grid_golden() -> None:
    expected = [
        Hyperparameters(learning_rate, weight_decay, batch_size)
        for batch_size in (8, 16)
        for learning_rate in (0.001, 0.01, 0.1, 1.0)
        for weight_decay in (0.0, 0.25, 0.5)
    ]
    assert grid(small_spec()) == expected


def test_values_are_rounded_so_that_they_can_be_read() -> None:
    axis = Range(low=1e-3, high=1.0, log=True, points=5)
    assert points(axis) == [0.001, 0.00562341, 0.0316228, 0.177828, 1.0]
    assert points(Range(low=0, high=1, points=4)) == [0.0, 0.333333, 0.666667, 1.0]


def test_endpoints_keep_all_their_digits() -> None:
    low, high = 0.123456789, 0.987654321
    for log in (False, True):
        axis = points(Range(low=low, high=high, log=log, points=7))
        assert (axis[0], axis[-1]) == (low, high)
        assert axis[3] == float(f"{axis[3]:.6g}")


def test_a_list_is_taken_as_it_is() -> None:
    assert points((0.5, 1 / 3, 2.0)) == [0.5, 1 / 3, 2.0]


def test_a_range_without_points_has_no_grid() -> None:
    with pytest.raises(ValueError, match="without points"):
        points(Range(low=1, high=2))


@given(low=st.floats(1e-9, 1e6), width=widths, n=counts, log=st.booleans())
def test_points_of_a_range(low: float, width: float, n: int, log: bool) -> None:
    axis = Range(low=low, high=low * (1 + width), log=log, points=n)
    values = points(axis)
    assert len(values) == n
    assert (values[0], values[-1]) == (axis.low, axis.high)
    assert all(a < b for a, b in itertools.pairwise(values))
    for place, value in enumerate(values):
        share = place / (n - 1)
        exact = (
            axis.low * (axis.high / axis.low) ** share
            if log
            else axis.low + share * (axis.high - axis.low)
        )
        assert math.isclose(value, exact, rel_tol=0.5001 * 10 ** (1 - SIGNIFICANT_DIGITS))


@given(low=st.floats(1e-6, 1e6), n=counts, log=st.booleans())
def test_points_of_a_narrow_range_stay_apart(low: float, n: int, log: bool) -> None:
    values = points(Range(low=low, high=low * (1 + 1e-10), log=log, points=n))
    assert len(set(values)) == n
    assert values == sorted(values)


@given(space=spaces())
def test_grid_is_the_cartesian_product(space: SpaceSpec) -> None:
    combinations = grid(small_spec().model_copy(update={"space": space}))
    product = itertools.product(
        points(space.learning_rate), points(space.weight_decay), space.batch_size
    )
    assert len(combinations) == len(set(combinations))
    assert set(combinations) == {Hyperparameters(*each) for each in product}
    sizes = [each.batch_size for each in combinations]
    assert sizes == sorted(sizes)
    assert {type(each.batch_size) for each in combinations} == {int}
    assert {type(each.learning_rate) for each in combinations} == {float}


@given(space=spaces())
def test_optuna_takes_every_point_of_the_grid(space: SpaceSpec) -> None:
    spec = small_spec().model_copy(update={"space": space})
    known = distributions(spec)
    for each in grid(spec):
        params = {name: getattr(each, name) for name in known}
        trial = create_trial(value=0.0, params=params, distributions=known)
        assert spec.hyperparameters(trial.params) == each


def test_distributions() -> None:
    spec = small_spec(weight_decay=[0.5, 0, 1e-3])
    assert distributions(spec) == {
        "learning_rate": FloatDistribution(1e-3, 1.0, log=True),
        "weight_decay": CategoricalDistribution((0.5, 0.0, 1e-3)),
        "batch_size": CategoricalDistribution((16, 8)),
    }
    linear = small_spec({"space.learning_rate.log": None})
    assert distributions(linear)["learning_rate"] == FloatDistribution(1e-3, 1.0)
