"""The registered model of a study as a scikit-learn classifier."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lockstep.arrays import as_labels
from lockstep.inputs import StudyInputs

if TYPE_CHECKING:
    from lockstep.classifier import LockstepClassifier
    from search.model.champion import Champion
    from search.tracking.tracker import Tracker

_INTEGER = re.compile("-?(0|[1-9][0-9]{0,17})")


def classifier_of(tracker: Tracker, champion: Champion, y: Any) -> LockstepClassifier:
    """Return a registered model as a fitted classifier.

    Its parameters are those that the model was trained with. y: labels as the user gave them, (N,),
    so that classes are predicted as these; None if they are in a file.
    """
    from core.datasets.scaling import Scale, Scaling
    from lockstep.classifier import LockstepClassifier

    loaded, expected = champion.model.unwrap_python_model(), champion.expected
    told = tracker.client.get_run(champion.run_id).data.params
    scaling = Scaling(Scale(loaded.scale), loaded.mean, loaded.deviation)
    model = LockstepClassifier(**_parameters(told), scale=scaling.scale.value)
    classes = labels_of(champion.class_names, y)
    order = np.argsort(classes, kind="stable")  # as scikit-learn has them
    model._take_on(loaded.W[:, order], loaded.b[order], scaling, classes[order])
    model._inputs = StudyInputs(expected.feature_names, expected.image_shape, expected.white)
    model.n_features_in_ = expected.features
    if expected.feature_names:
        model.feature_names_in_ = np.array(expected.feature_names, object)
    return model


def _parameters(told: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of a classifier. told: those of a retrain run in MLflow, as text."""
    weights = told.get("class_weight", "None")
    return {
        "learning_rate": float(told["learning_rate"]),
        "weight_decay": float(told["weight_decay"]),
        "batch_size": int(told["batch_size"]),
        "epochs": int(told["epochs"]),
        "penalty": told["penalty"],
        "bias": told.get("bias", "False") == "True",
        "momentum": float(told.get("momentum", 0)),
        "schedule": told.get("schedule", "constant"),
        "warmup_epochs": int(told.get("warmup_epochs", 0)),
        "class_weight": None if weights == "None" else weights,
        "random_state": int(told["seed"]),
    }


def labels_of(names: Sequence[str], y: Any) -> npt.NDArray[Any]:
    """Return the labels of classes, (C,), in the order of their names.

    y: labels as the user gave them, (N,) or one-hot, if they are known.
    """
    known: dict[str, Any] = {}
    if y is not None and (given := as_labels(y, "y")).ndim == 1:
        for label in np.unique(given):
            whole = given.dtype.kind == "f" and float(label).is_integer()
            known[str(int(label) if whole else label)] = label
    if all(name in known for name in names):
        return np.array([known[name] for name in names])
    if all(map(_INTEGER.fullmatch, names)):
        return np.array(list(map(int, names)))
    return np.array(names)
