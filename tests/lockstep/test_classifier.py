"""`LockstepClassifier`: what scikit-learn asks of a classifier, and that it trains as trials do."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_info, threadpool_limits

import lockstep
from core.datasets.dataset import Dataset
from core.datasets.scaled import scaled, scaling_of
from core.datasets.scaling import Scale
from core.trainer.learning_rate import Schedule
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty, gradient
from core.trainer.stack import train
from core.trainer.training_data import TrainingData
from lockstep import LockstepClassifier

X, y = load_wine(return_X_y=True)


@parametrize_with_checks(
    [
        LockstepClassifier(),
        LockstepClassifier(scale="none", penalty="norm"),
    ]
)
def test_it_passes_the_checks_of_scikit_learn(estimator: LockstepClassifier, check: Any) -> None:
    check(estimator)


def test_its_weights_are_those_of_a_trial() -> None:
    model = LockstepClassifier(
        0.3, 0.01, 16, 7, momentum=0.5, schedule="cosine", warmup_epochs=2, random_state=3
    ).fit(X, y)
    raw = Dataset.of(X.astype(np.float32), y, ("0", "1", "2"))
    scaling = scaling_of(raw, Scale.STANDARD)
    tried = Hyperparameters(0.3, 0.01, 16, 0.5, Schedule.COSINE, 2, bias=True)
    data = TrainingData.of(scaled(raw, scaling), bias=True)
    (result,) = train(data, [tried], penalty=Penalty.SQUARED, epochs=7, seed=3)
    logits = scaling.rows(X.astype(np.float32)) @ result.weights + result.bias
    np.testing.assert_allclose(model.decision_function(X), logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.loss_curve_, result.curves.train_loss)


def test_coefficients_belong_to_the_raw_features() -> None:
    three = LockstepClassifier(epochs=20).fit(X, y)
    assert three.coef_.shape == (3, 13)
    np.testing.assert_allclose(
        three.decision_function(X), X @ three.coef_.T + three.intercept_, rtol=1e-4, atol=1e-3
    )
    two = LockstepClassifier(epochs=20).fit(X, y == 1)
    assert two.coef_.shape == (1, 13)
    logit = two.decision_function(X)
    np.testing.assert_allclose(logit, (X @ two.coef_.T)[:, 0] + two.intercept_[0], atol=1e-3)
    np.testing.assert_allclose(two.predict_proba(X)[:, 1], 1 / (1 + np.exp(-logit)))


def test_it_finds_the_minimum_that_scikit_learn_finds() -> None:
    """λ/2 ‖W‖² on N examples is scikit-learn's C = 1/(λ N); full batches find the minimum."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    ours = LockstepClassifier(1.0, 0.01, len(y), 3000, scale="none").fit(X, y)
    # Two columns of weights ±u have the norm 2 ‖u‖², and their difference is scikit-learn's 2 u.
    theirs = LogisticRegression(C=2 / (0.01 * len(y)), tol=1e-9, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-3)


def test_class_weights() -> None:
    """With full batches it ends where the gradient of the weighted loss is zero."""
    rare = np.r_[np.arange(59), np.arange(59, 65), np.arange(130, 178)]
    Z, labels = StandardScaler().fit_transform(X[rare]), y[rare]
    table = dict(enumerate(len(rare) / (3 * np.bincount(labels))))
    balanced, given, plain = (
        LockstepClassifier(1.0, 0.01, 113, 2000, scale="none", class_weight=weights).fit(Z, labels)
        for weights in ("balanced", table, None)
    )
    np.testing.assert_allclose(balanced.coef_, given.coef_, rtol=1e-4, atol=1e-5)
    weights = np.array(list(table.values()))
    for model, weighted in ((balanced, weights), (plain, None)):
        W, b = model.coef_.T, model.intercept_
        slopes = gradient(Z, labels, W, 0.01, Penalty.SQUARED, b, weighted)
        assert max(abs(each).max() for each in slopes) < 1e-4
    assert not np.allclose(balanced.coef_, plain.coef_, rtol=1e-2)


def test_in_pipelines_and_searches_also_in_threads() -> None:
    with threadpool_limits(2):
        before = {each["filepath"]: each["num_threads"] for each in threadpool_info()}
        pipeline = make_pipeline(StandardScaler(), LockstepClassifier(epochs=20, scale="none"))
        assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
        grid = {"lockstepclassifier__learning_rate": [1e-4, 0.1]}
        with parallel_config(backend="threading"):
            found = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
        assert found.best_params_ == {"lockstepclassifier__learning_rate": 0.1}
        with ThreadPoolExecutor(4) as pool:
            fits = list(pool.map(lambda k: LockstepClassifier(epochs=20).fit(X, y).coef_, range(8)))
        for each in fits:
            np.testing.assert_array_equal(each, fits[0])
        after = {each["filepath"]: each["num_threads"] for each in threadpool_info()}
        assert {path: after[path] for path in before} == before


def test_it_can_be_cloned_and_pickled() -> None:
    names = np.array(["red", "white", "rosé"])[y]
    model = LockstepClassifier(epochs=20, random_state=5).fit(X, names)
    assert model.classes_.tolist() == ["red", "rosé", "white"]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(clone(model).fit(X, names).coef_, model.coef_)


def test_the_seed_is_drawn_from_a_random_state() -> None:
    def fitted(random_state: Any) -> Any:
        return LockstepClassifier(epochs=3, random_state=random_state).fit(X, y).coef_

    np.testing.assert_array_equal(
        fitted(np.random.RandomState(1)), fitted(np.random.RandomState(1))
    )
    assert not np.array_equal(fitted(1), fitted(2))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"learning_rate": 0}, "learning_rate = 0: give a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan: give a number above 0"),
        ({"weight_decay": -1.0}, "weight_decay = -1.0: give a number that is not negative"),
        ({"batch_size": 2.5}, "batch_size = 2.5: give a whole number, 1 or more"),
        ({"epochs": True}, "epochs = True: give a whole number, 1 or more"),
        ({"momentum": 1}, "momentum = 1: give a number from 0 to below 1"),
        ({"warmup_epochs": 100}, "warmup_epochs = 100: must be less than epochs = 100"),
        ({"penalty": "l1"}, "penalty = 'l1': must be one of 'norm', 'squared'"),
        ({"scale": "auto"}, "scale = 'auto': must be one of 'none', 'standard', 'l2'"),
        ({"class_weight": "equal"}, "class_weight = 'equal': give 'balanced', a dict or None"),
        ({"class_weight": {7: 1.0}}, "class_weight names 7, which is no label in y"),
        ({"class_weight": {1: -1.0}}, "class_weight: give weights above 0"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - its text is compared below
        LockstepClassifier(**parameters).fit(X, y)
    assert str(raised.value).startswith(said)


def test_a_training_that_diverges_says_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(lockstep.LockstepError, match=r"diverged in epoch \d+: choose"):
            LockstepClassifier(learning_rate=1e6, weight_decay=1.0, momentum=0.0).fit(X, y)
