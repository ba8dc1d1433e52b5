from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ttest_rel
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from core.statistics.paired import (
    Means,
    differences,
    holm,
    mcnemar_tests,
    means,
    negligible,
    t_test,
    within_one_standard_error,
)
from core.statistics.proportions import mcnemar

K, M = 300, 50  # more rows than are widened at a time
S = np.random.default_rng(0).exponential(size=(K, M)).astype(np.float32)


def test_means_are_numpys() -> None:
    wide = S.astype(np.float64)
    mean, standard_error = means(S)
    np.testing.assert_allclose(mean, wide.mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(standard_error, wide.std(axis=1, ddof=1) / M**0.5, rtol=1e-14)


def test_t_test_is_scipys() -> None:
    p = t_test(differences(S, reference=7), M)
    for k in (0, 6, 8, K - 1):
        expected = ttest_rel(S[k].astype(np.float64), S[7].astype(np.float64))
        assert p[k] == pytest.approx(expected.pvalue, rel=1e-10)
    assert p[7] == 1


def test_a_constant_difference_is_certain_and_none_is_not() -> None:
    twice = np.stack([S[0], S[0] + 1, S[0]]).round(4)
    p = t_test(Means(np.array([0.0, 1.0, 0.0]), np.zeros(3)), M)
    assert p.tolist() == [1, 0, 1]
    assert differences(twice).mean[2] == 0


def test_mcnemar_tests_count_the_discordant_examples() -> None:
    errors = np.random.default_rng(1).random((20, 60)) < 0.3
    p = mcnemar_tests(errors, reference=4)
    assert p[4] == 1
    for k in range(20):
        b, c = int((errors[k] & ~errors[4]).sum()), int((~errors[k] & errors[4]).sum())
        assert p[k] == mcnemar(b, c, mid_p=True).p_value
        if b != c:  # the mid-p value is the exact one less half the probability of this division
            exact = statsmodels_mcnemar([[0, b], [c, 0]], exact=True).pvalue
            assert p[k] < exact <= 2 * p[k]


@pytest.fixture(scope="module")
def _frozen() -> None:
    """Keep what there is from garbage collection, which statsmodels has done for each family."""
    gc.freeze()


@pytest.mark.usefixtures("_frozen")
@settings(max_examples=15)
@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)))
def test_holm_is_statsmodels(p: np.ndarray) -> None:
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-15)


def test_holm_keeps_the_chance_of_a_false_rejection() -> None:
    """2,000 families of 30 true hypotheses: about 5 % have a rejection, uncorrected 79 %."""
    p = np.random.default_rng(2).random((2_000, 30))
    rejected = np.mean([(holm(family) <= 0.05).any() for family in p])
    assert 0.03 < rejected < 0.07
    assert (p <= 0.05).any(axis=1).mean() > 0.7


def test_one_standard_error_is_of_the_difference() -> None:
    """A trial that is worse on every example by a little is out, however much examples differ."""
    rng = np.random.default_rng(3)
    hard = rng.exponential(10, size=400)
    slightly_worse = hard + 0.1 + rng.normal(0, 0.01, size=400)
    as_good = hard + rng.normal(0, 1, size=400)
    as_good += hard.mean() - as_good.mean() + 0.01
    scores = np.stack([hard, slightly_worse, as_good])
    assert means(scores).standard_error.min() > 0.4
    assert within_one_standard_error(differences(scores)).tolist() == [True, False, True]


def test_negligible_is_measured_by_the_references_own_error() -> None:
    scores = np.stack([S[0], S[0] * 1.0005, S[0] * 1.1]).astype(np.float64)
    difference, own = differences(scores), means(scores).standard_error[0]
    assert (t_test(difference, M)[1:] < 0.001).all()
    assert negligible(difference, own).tolist() == [True, True, False]


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 0)])
def test_too_few_examples_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="M >= 2"):
        means(np.zeros(shape))
