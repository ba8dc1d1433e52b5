"""A scikit-learn classifier that is trained by Lockstep's trainer.

Notation: N examples, D features, C classes, E epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from core.datasets.dataset import Dataset, Labels, Matrix
from core.datasets.errors import DataError
from core.datasets.scaled import scaled, scaling_of
from core.datasets.scaling import UNSCALED, Scale, Scaling
from core.trainer.learning_rate import Schedule
from core.trainer.result import Hyperparameters, Status, TrainingResult
from core.trainer.softmax import Penalty, balanced_class_weights
from core.trainer.softmax import probabilities as softmax
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from lockstep.inputs import StudyInputs
from search.blas import one_blas_thread
from search.errors import LockstepError

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


class LockstepClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # no types
    """Softmax regression, trained by mini-batch gradient descent as the trials of a study are.

    Its parameters have the meaning that they have in a study file. It fits where scikit-learn wants
    a classifier: in pipelines, in cross-validation, and in searches. `Study` searches many
    configurations at once, which is much faster than one fit for each.

    learning_rate, weight_decay, batch_size: a configuration. A batch has at most N examples; what
        is left over after full batches waits for the next epoch.
    epochs: how often the training goes through the examples.
    penalty: "squared" for λ/2 ‖W‖₂², or "norm" for λ‖W‖₂.
    bias: whether each class has a bias, which does not decay.
    momentum: μ of v ← μ v + gradient, W ← W − η v.
    schedule, warmup_epochs: "constant" or "cosine" learning rates, after a linear warm-up.
    class_weight: "balanced", the weights of classes by label, or None if all are 1.
    scale: what is done to features: "standard" (mean 0 and deviation 1 on the training examples),
        "l2" (each example has the length 1), or "none".
    random_state: decides the order of the examples.

    Fitted attributes: `classes_` (C,), sorted; `coef_` (C, D) and `intercept_` (C,), or (1, D) and
    (1,) for two classes, in units of the raw features (of the scaled ones with "l2");
    `loss_curve_` (E,), the mean training loss of each epoch, in nats; `n_features_in_`, and
    `feature_names_in_` (D,) if X had names.
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        weight_decay: float = 0.0001,
        batch_size: int = 64,
        epochs: int = 100,
        *,
        penalty: Literal["squared", "norm"] = "squared",
        bias: bool = True,
        momentum: float = 0.9,
        schedule: Literal["constant", "cosine"] = "cosine",
        warmup_epochs: int = 0,
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        scale: Literal["standard", "l2", "none"] = "standard",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.penalty = penalty
        self.bias = bias
        self.momentum = momentum
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.class_weight = class_weight
        self.scale = scale
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train on examples X (N, D) with labels y (N,), and return this classifier.

        Raises ValueError if they, or the parameters, are not valid, and LockstepError if the
        training diverges.
        """
        _check_parameters(self)
        self.__dict__.pop("_inputs", None)
        rows, labels = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(labels)
        classes, indices = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has only one class, {classes[0]!r}, in {len(labels)} samples: give two or more"
            )
        data, scaling = _scaled(rows, indices, len(classes), Scale(self.scale))
        result = self._trained(data, classes)
        self._take_on(result.weights, result.bias, scaling, classes)
        self.loss_curve_ = result.curves.train_loss
        return self

    def decision_function(self, X: Any) -> Floats:
        """Return the logits of n examples X (n, D): (n, C), or for two classes (n,), the logit of
        the second one."""
        Z = self._logits(X)
        return Z[:, 1] - Z[:, 0] if Z.shape[1] == 2 else Z

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (n, C), for n examples X (n, D)."""
        return np.asarray(softmax(self._logits(X)), np.float64)

    def predict_log_proba(self, X: Any) -> Floats:
        """Return the logarithm of `predict_proba`, (n, C)."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each of n examples X (n, D), (n,)."""
        chosen = self._logits(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def _logits(self, X: Any) -> Floats:
        """Return the logits of n examples, (n, C), computed from rows as training rounds them."""
        check_is_fitted(self)
        inputs: StudyInputs | None = getattr(self, "_inputs", None)
        given = X if inputs is None else inputs.rows(X)
        rows = validate_data(self, given, reset=False, dtype=[np.float64, np.float32])
        scaled = self._scaling.rows(rows).astype(np.float64)
        return np.asarray(scaled @ self._weights.astype(np.float64) + self._bias)

    def _trained(self, data: Dataset, classes: Array) -> TrainingResult:
        """Return the result of training on scaled examples. Raises LockstepError."""
        arranged = TrainingData.of(data, bias=self.bias)
        weights = _class_weights(self.class_weight, data.y, classes)
        if weights is not None:
            arranged = replace(arranged, class_weights=weights.astype(np.float32))
        tried = Hyperparameters(
            learning_rate=float(self.learning_rate),
            weight_decay=float(self.weight_decay),
            batch_size=min(int(self.batch_size), len(data)),
            momentum=float(self.momentum),
            schedule=Schedule(self.schedule),
            warmup_epochs=int(self.warmup_epochs),
            bias=bool(self.bias),
        )
        stack = Stack((tried,), Penalty(self.penalty), _seed(self.random_state), int(self.epochs))
        with one_blas_thread():
            stack.advance(arranged, int(self.epochs))
            result = stack.result(0, arranged)
        if result.status is Status.DIVERGED:
            raise LockstepError(
                f"the training diverged in epoch {result.stopped_epoch}: choose a smaller "
                f"learning_rate than {self.learning_rate:g}"
            )
        return result

    def _take_on(self, weights: Matrix, bias: Matrix, scaling: Scaling, classes: Array) -> None:
        """Take on what was trained: weights (D, C) of scaled features, and biases (C,)."""
        self.classes_ = classes
        self._weights, self._bias, self._scaling = weights, bias, scaling
        W, b = weights.astype(np.float64), bias.astype(np.float64)
        if scaling.scale is Scale.STANDARD:
            W = W / scaling.deviation[:, None]
            b = b - scaling.mean @ W
        if len(classes) == 2:
            W, b = W[:, 1:] - W[:, :1], b[1:] - b[:1]
        self.coef_, self.intercept_ = W.T, b


# What numbers may be given: their type, which of them, and these in words.
_NUMBERS: Mapping[str, tuple[type, Callable[[Any], bool], str]] = {
    "learning_rate": (Real, lambda value: 0 < value < math.inf, "a number above 0"),
    "weight_decay": (Real, lambda value: 0 <= value < math.inf, "a number that is not negative"),
    "batch_size": (Integral, lambda value: value >= 1, "a whole number, 1 or more"),
    "epochs": (Integral, lambda value: value >= 1, "a whole number, 1 or more"),
    "warmup_epochs": (Integral, lambda value: value >= 0, "a whole number that is not negative"),
    "momentum": (Real, lambda value: 0 <= value < 1, "a number from 0 to below 1"),
}
_CHOICES: Mapping[str, type[StrEnum]] = {"penalty": Penalty, "schedule": Schedule, "scale": Scale}


def _check_parameters(of: LockstepClassifier) -> None:
    """Raise ValueError if a parameter of a classifier is not valid."""
    for name, (kind, fits, right) in _NUMBERS.items():
        value: Any = getattr(of, name)
        if not isinstance(value, kind) or isinstance(value, bool) or not fits(value):
            raise ValueError(f"{name} = {value!r}: give {right}")
    if of.warmup_epochs >= of.epochs:
        raise ValueError(
            f"warmup_epochs = {of.warmup_epochs}: must be less than epochs = {of.epochs}, so that "
            "training goes on after it"
        )
    for name, choices in _CHOICES.items():
        if (value := getattr(of, name)) not in list(choices):
            words = ", ".join(repr(str(each)) for each in choices)
            raise ValueError(f"{name} = {value!r}: must be one of {words}")


def _scaled(X: Array, y: Labels, n_classes: int, scale: Scale) -> tuple[Dataset, Scaling]:
    """Return scaled examples, and what was done to them. Raises ValueError if they cannot be."""
    with np.errstate(over="ignore"):
        rows = X.astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("X contains infinity or a value too large for dtype('float32')")
    names = tuple(map(str, range(n_classes)))
    raw = Dataset.of(rows, y, names)
    scaling = UNSCALED if scale is Scale.NONE else scaling_of(raw, scale)
    try:
        return scaled(raw, scaling), scaling
    except DataError as error:
        raise ValueError(str(error)) from error


def _class_weights(
    given: Literal["balanced"] | Mapping[Any, float] | None, y: Labels, classes: Array
) -> Floats | None:
    """Return the weight of each class, (C,), None if all are 1. Raises ValueError."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        if str(given) != "balanced":
            raise ValueError(f"class_weight = {given!r}: give 'balanced', a dict or None")
        return balanced_class_weights(y, len(classes))
    labels = classes.tolist()
    if unknown := [label for label in given if label not in labels]:
        raise ValueError(f"class_weight names {unknown[0]!r}, which is no label in y")
    weights = np.array([float(given.get(label, 1.0)) for label in labels])
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("class_weight: give weights above 0")
    return weights


def _seed(random_state: int | np.random.RandomState | None) -> int:
    """Return the seed of the order of the examples: a given integer itself, else one drawn."""
    if isinstance(random_state, int | np.integer):
        check_random_state(random_state)  # raises ValueError if it is out of range
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
