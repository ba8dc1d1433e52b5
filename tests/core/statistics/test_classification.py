"""A classifier's scores, against scikit-learn and against their definitions."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

from core.statistics.classification import BINS, Scores, classification_scores
from core.statistics.proportions import wilson_interval


class Case(NamedTuple):
    """Probabilities (M, C), labels (M,), and the number of classes."""

    P: np.ndarray
    y: np.ndarray
    C: int

    @property
    def predicted(self) -> np.ndarray:
        return self.P.argmax(axis=1)

    def scores(self) -> Scores:
        names = [f"class {c}" for c in range(self.C)]
        return classification_scores(self.P, self.predicted, self.y, names, seed=0)


def random_case(seed: int, M: int, C: int, levels: int) -> Case:
    """Few levels of the logits give ties; few examples leave classes out of test or predictions."""
    rng = np.random.default_rng(seed)
    y = rng.integers(C, size=M)
    Z = rng.integers(levels, size=(M, C)) * 3.0 / levels
    Z[np.arange(M), y] += rng.random() * 2
    P = np.exp(Z)
    return Case(P / P.sum(axis=1, keepdims=True), y, C)


CASES = st.builds(
    random_case, st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 13),
    st.sampled_from([1, 2, 5, 1000]),
)  # fmt: skip


@given(case=CASES)
def test_scores_are_those_of_scikit_learn(case: Case) -> None:
    P, y, C = case
    found, every = case.scores(), np.arange(C)
    with warnings.catch_warnings():  # scikit-learn warns of classes that are only predicted
        warnings.simplefilter("ignore")
        balanced = balanced_accuracy_score(y, case.predicted)
    assert found.balanced_accuracy.value == pytest.approx(balanced)
    f1 = f1_score(y, case.predicted, average="macro", zero_division=0)
    assert found.macro_f1.value == pytest.approx(f1)
    assert found.log_loss.value == pytest.approx(log_loss(y, P, labels=every))
    assert (found.auroc is None) == (len(np.unique(y)) < C) == bool(found.absent)
    assert (found.top_5_accuracy is None) == (C <= 10)


@given(case=CASES)
def test_scores_of_each_class_are_those_of_scikit_learn(case: Case) -> None:
    precision, recall, _, support = precision_recall_fscore_support(
        case.y, case.predicted, labels=np.arange(case.C), zero_division=np.nan
    )
    classes = case.scores().classes
    assert [each.support for each in classes] == support.tolist()
    assert [each.name for each in classes] == [f"class {c}" for c in range(case.C)]
    for own, theirs in ((precision, "precision"), (recall, "recall")):
        found = [getattr(each, theirs) for each in classes]
        values = [math.nan if each is None else each.value for each in found]
        np.testing.assert_allclose(values, own)


@pytest.mark.parametrize("C", [2, 3, 10, 12])
def test_auroc_and_top_5_are_those_of_scikit_learn(C: int) -> None:
    case = random_case(C, 200, C, levels=4)
    found, every = case.scores(), np.arange(C)
    given_to_it = case.P[:, 1] if C == 2 else case.P
    assert found.auroc is not None
    expected = roc_auc_score(case.y, given_to_it, multi_class="ovr", labels=every)
    assert found.auroc.value == pytest.approx(expected)
    top = found.top_5_accuracy
    assert (top.value if top else None) == (
        top_k_accuracy_score(case.y, case.P, k=5, labels=every) if C > 10 else None
    )


@given(case=CASES)
def test_the_calibration_error_is_that_of_its_definition(case: Case) -> None:
    confidence, right = case.P.max(axis=1), case.predicted == case.y
    total = 0.0
    for g in range(BINS):
        inside = (confidence > g / BINS) & (confidence <= (g + 1) / BINS)
        if inside.any():
            gap = abs(confidence[inside].mean() - right[inside].mean())
            total += inside.mean() * gap
    assert case.scores().calibration_error.value == pytest.approx(total)


@given(case=CASES)
def test_intervals_include_their_scores(case: Case) -> None:
    """Except for F1 and the log-loss of a handful of examples, whose resamples may all be worse."""
    found = case.scores()
    each_class = [one for each in found.classes for one in (each.precision, each.recall)]
    together = (found.balanced_accuracy, found.auroc, found.calibration_error, found.top_5_accuracy)
    for estimate in (*together, *each_class):
        if estimate is not None and estimate.interval is not None:
            low, high = estimate.interval
            assert -1e-12 <= low - 1e-12 <= estimate.value <= high + 1e-12 <= 1 + 1e-11


def test_the_same_seed_gives_the_same_intervals() -> None:
    case = random_case(5, 80, 4, levels=1000)
    assert case.scores() == case.scores()
    names = list("abcd")
    other = classification_scores(case.P, case.predicted, case.y, names, seed=1)
    assert other.log_loss.value == case.scores().log_loss.value
    assert other.log_loss.interval != case.scores().log_loss.interval


def test_recall_has_wilsons_interval() -> None:
    case = random_case(3, 80, 4, levels=1000)
    right = int(((case.y == 2) & (case.predicted == 2)).sum())
    recall = case.scores().classes[2].recall
    assert recall is not None
    assert recall.interval == wilson_interval(right, int((case.y == 2).sum()))


def test_without_an_error_some_scores_have_no_interval() -> None:
    y = np.repeat([0, 1], 20)
    P = np.eye(2)[y] * 0.8 + 0.1 + np.linspace(0, 0.05, 40)[:, None] * (2 * np.eye(2)[y] - 1)
    found = Case(P, y, 2).scores()
    assert found.auroc == found.macro_f1 == (1.0, None)
    assert found.balanced_accuracy.interval is not None
    assert 0.85 < found.balanced_accuracy.interval.low < 0.95
    assert found.log_loss.interval is not None


@pytest.mark.parametrize(("M", "classes"), [(0, 3), (4, 2), (4, 4)])
def test_what_does_not_fit_is_refused(M: int, classes: int) -> None:
    P, y = np.full((M, 3), 1 / 3), np.zeros(M, np.intp)
    with pytest.raises(ValueError, match="do not fit"):
        classification_scores(P, y, y, ["x"] * classes, seed=0)
