"""scikit-learn's cross-validated logistic regression as a baseline."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.datasets.dataset import Dataset
from search.errors import LockstepError
from search.model.lbfgs import FITS, fit_lbfgs


def blobs(sizes: list[int], seed: int = 0) -> Dataset:
    """Overlapping classes of these sizes, in features of very different scales."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = (rng.normal(size=(len(y), 4)) + np.eye(4)[y % 4]) * [1, 100, 0.01, 1]
    return Dataset.of(X + 1000, y, tuple(f"class {c}" for c in range(len(sizes))))


@pytest.mark.parametrize("sizes", [[40, 40], [60, 30, 20]])
def test_it_is_the_pipeline_that_a_user_would_write(sizes: list[int]) -> None:
    train, test = blobs(sizes), blobs(sizes, seed=1)
    found = fit_lbfgs(train).judged(test)
    by_hand = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=10, cv=5, max_iter=1000))
    with warnings.catch_warnings():  # of arguments whose defaults will change
        warnings.simplefilter("ignore", FutureWarning)
        by_hand.fit(train.X, train.y)
    np.testing.assert_array_equal(found.predicted, by_hand.predict(test.X))
    np.testing.assert_allclose(found.probabilities(test)[:, :], by_hand.predict_proba(test.X))
    assert found.test_accuracy == by_hand.score(test.X, test.y)
    assert found.train_accuracy == by_hand.score(train.X, train.y)
    assert found.errors == (found.predicted != test.y).sum()
    assert found.unconverged == 0
    assert found.remarks() == []
    assert found.seconds > 0


@pytest.mark.parametrize("sizes", [[40, 40], [60, 30, 20]])
def test_its_weights_are_those_of_standardised_features(sizes: list[int]) -> None:
    train, test = blobs(sizes), blobs(sizes, seed=1)
    fitted = fit_lbfgs(train)
    assert fitted.weights.shape == (4, len(sizes))
    np.testing.assert_allclose(fitted.weights.sum(axis=1), 0, atol=1e-4)
    Z = StandardScaler().fit(train.X).transform(test.X) @ fitted.weights
    odds = np.log(
        fitted.judged(test).probabilities(test)[:, :]
    )  # as Z, up to a bias per class and a number per row
    of_rows = (odds - Z) - (odds - Z).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(of_rows, np.broadcast_to(of_rows[:1], of_rows.shape), atol=1e-3)


def test_fits_that_do_not_converge_are_told_in_a_sentence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none comes through
        found = fit_lbfgs(blobs([60, 30, 20]), iterations=1).judged(blobs([9, 9, 9]))
    assert 0 < found.unconverged <= FITS
    (sentence,) = found.remarks()
    assert f"did not converge in {found.unconverged} of its {FITS} fits of 1 iterations" in sentence


def test_a_class_without_training_examples_has_no_probability() -> None:
    train, test = blobs([30, 0, 30]), blobs([5, 5, 5])
    fitted = fit_lbfgs(train)
    found = fitted.judged(test)
    assert not found.probabilities(test)[:, 1:2].any()
    assert not fitted.weights[:, 1].any()
    assert found.errors >= 5


def test_a_class_with_fewer_examples_than_folds_is_fitted() -> None:
    assert fit_lbfgs(blobs([30, 2, 30])).weights.any()


def test_data_that_cannot_be_divided_into_folds_are_refused() -> None:
    with pytest.raises(LockstepError, match=r"\[baseline\]: scikit-learn cannot fit it") as caught:
        fit_lbfgs(blobs([4, 4]))
    assert len(str(caught.value).splitlines()) == 1
