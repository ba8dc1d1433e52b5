"""Choose the kind of picture that fits the data. This is the only place that decides it."""

from __future__ import annotations

from collections.abc import Sequence

from core.datasets.dataset import Dataset
from search.figures.image_weights import ImageWeights
from search.figures.similarity import SimilarityWeights
from search.figures.weight_pictures import Kind, WeightPictures
from search.figures.weights_table import TableWeights

FEW = 50  # the most features without names whose weights are shown one by one


def kind_of(
    image_shape: Sequence[int] | None, n_features: int, n_classes: int, *, named: bool
) -> Kind:
    """Return the kind of picture that fits such data.

    Images get templates. Features with names, and a few without, get a table. Many without names
    mean nothing one by one, so the classes are compared with each other; two classes are not,
    because what speaks for one of them speaks against the other.

    named: whether the features have names.
    """
    if image_shape is not None:
        return Kind.IMAGE
    if named or n_features <= FEW or n_classes <= 2:
        return Kind.TABLE
    return Kind.SIMILARITY


def weight_pictures(data: Dataset) -> WeightPictures:
    """Return the pictures that fit the weights of these examples."""
    D, names = data.X.shape[1], data.class_names
    kind = kind_of(data.image_shape, D, len(names), named=data.feature_names is not None)
    if kind is Kind.SIMILARITY:
        return SimilarityWeights(names, D)
    if data.image_shape is not None:
        return ImageWeights(names, data.image_shape, data.counts())
    features = data.feature_names or [f"feature {d}" for d in range(D)]
    return TableWeights(names, features, data.counts())
