"""Scaling: fitted on the training part alone, the same for every part and in any company."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.datasets.dataset import DataError, Dataset
from core.datasets.scaled import automatic, scaled, scaling_of
from core.datasets.scaling import Scale
from core.datasets.splits import Splits, prepare

rng = np.random.default_rng(0)


def dataset_of(X: np.ndarray, names: tuple[str, ...] | None = None) -> Dataset:
    return Dataset.of(X, np.arange(len(X)) % 2, ("a", "b"), feature_names=names)


def splits(n: int = 60, D: int = 5) -> Splits:
    X = rng.normal(3, np.geomspace(1e-3, 1e6, D), (n, D))
    return prepare(dataset_of(X), None, validation_fraction=0.25, seed=0)


def test_standard_has_mean_0_and_deviation_1_on_the_training_part() -> None:
    raw = splits()
    scaled = raw.scaled(Scale.STANDARD)
    np.testing.assert_allclose(scaled.train.X.mean(axis=0, dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.train.X.std(axis=0, dtype=np.float64), 1, atol=1e-6)
    assert (scaled.validation.X.mean(axis=0) != 0).all()
    assert scaled.digest == raw.digest, "the data are the same"
    assert scaled.validation == raw.validation
    assert not scaled.train.X.flags.writeable


def test_it_is_scikit_learn_s_standard_scaler() -> None:
    from sklearn.preprocessing import StandardScaler

    raw = splits()
    theirs = StandardScaler().fit(raw.train.X.astype(np.float64))
    ours = scaling_of(raw.train, Scale.STANDARD)
    np.testing.assert_allclose(ours.mean, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.deviation, theirs.scale_, rtol=1e-12)


def test_an_outlier_in_validation_changes_nothing() -> None:
    raw = splits()
    X = raw.validation.X.copy()
    X[0] = 1e9
    planted = Splits.of(raw.train, dataset_of(X), raw.test)
    one, other = raw.scaled(Scale.STANDARD), planted.scaled(Scale.STANDARD)
    np.testing.assert_array_equal(one.scaling.mean, other.scaling.mean)
    np.testing.assert_array_equal(one.train.X, other.train.X)
    np.testing.assert_array_equal(one.validation.X[1:], other.validation.X[1:])
    np.testing.assert_array_equal(one.test.X, other.test.X)
    assert automatic(raw.train) is automatic(planted.train)


def test_retraining_fits_again_on_train_and_validation() -> None:
    raw = splits()
    merged = raw.scaled(Scale.STANDARD).merged()
    both = np.concatenate((raw.train.X, raw.validation.X)).astype(np.float64)
    np.testing.assert_allclose(merged.scaling.mean, both.mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(merged.raw.X, both.astype(np.float32))
    np.testing.assert_array_equal(merged.test.X, merged.scaling.rows(raw.test.X))
    plain = raw.merged()
    assert plain.train.X is plain.raw.X
    assert plain.test is raw.test


@pytest.mark.parametrize("value", [0.1, -3e30, 1e-42, 16777217.0])
def test_a_constant_feature_becomes_zero(value: float) -> None:
    X = rng.normal(size=(999, 3)).astype(np.float32)
    X[:, 1] = value
    own = scaled(dataset_of(X), scaling_of(dataset_of(X), Scale.STANDARD))
    assert not own.X[:, 1].any()
    assert own.X[:, [0, 2]].any(axis=0).all()


@given(
    X=arrays(
        np.float32,
        st.tuples(st.integers(2, 12), st.integers(1, 4)),
        elements=st.floats(-float(np.float32(3e38)), float(np.float32(3e38)), width=32),
    )
)
def test_any_finite_features_can_be_scaled(X: np.ndarray) -> None:
    for scale in Scale:
        scaling = scaling_of(dataset_of(X), scale)
        scaled = scaling.rows(dataset_of(X).X)
        assert np.isfinite(scaled).all()
        if scale is Scale.STANDARD:
            assert np.abs(scaled).max() <= max(len(X) ** 0.5 * 1.001, 1e-37)
        if scale is Scale.L2:
            lengths = np.sqrt(np.square(scaled.astype(np.float64)).sum(axis=1))
            np.testing.assert_allclose(lengths[X.any(axis=1)], 1, rtol=1e-5)
            assert not lengths[~X.any(axis=1)].any()
        alone = np.concatenate([scaling.rows(row[None]) for row in dataset_of(X).X])
        np.testing.assert_array_equal(alone, scaled)


def test_many_rows_are_scaled_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    X = rng.normal(5, 2, (100, 7)).astype(np.float32)
    whole = scaling_of(dataset_of(X), Scale.STANDARD)
    monkeypatch.setattr("core.datasets.scaling._CHUNK", 50)
    pieces = scaling_of(dataset_of(X), Scale.STANDARD)
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(pieces.deviation, whole.deviation, rtol=1e-14)
    np.testing.assert_array_equal(pieces.rows(X), pieces.rows(X[::-1])[::-1])


def test_what_is_too_far_away_is_refused() -> None:
    X = rng.normal(0, 1e-30, (20, 2)).astype(np.float32)
    far = X.copy()
    far[3, 1] = 1e30
    scaling = scaling_of(dataset_of(X), Scale.STANDARD)
    with pytest.raises(DataError, match="Feature b lies too far from its mean"):
        scaled(dataset_of(far, ("a", "b")), scaling)


def test_automatic() -> None:
    pixels = Dataset.of(np.eye(4), np.array([0, 1, 0, 1]), ("a", "b"), (2, 2))
    assert automatic(pixels) is Scale.NONE
    for X, shape in ((np.eye(4), None), (2 * np.eye(4), (2, 2)), (-np.eye(4), (2, 2))):
        assert automatic(Dataset.of(X, pixels.y, ("a", "b"), shape)) is Scale.STANDARD
