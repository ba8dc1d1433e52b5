"""The baseline of a user who does not search: scikit-learn's cross-validated logistic regression.

It is `StandardScaler` + `LogisticRegressionCV` with ten strengths of the penalty, five folds and
up to `MAX_ITERATIONS` iterations, as one writes it by hand. It scales the features itself, so it is
given them as they are in the data.

scikit-learn is imported inside functions, because the import takes a second.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Dataset, Labels
from core.statistics.probabilities import Probabilities, row_blocks
from search.errors import LockstepError
from search.model.judged import Judged
from search.model.softmax_probabilities import SoftmaxProbabilities

LBFGS = "scikit-learn's StandardScaler + LogisticRegressionCV"
STRENGTHS = 10  # values of C
FOLDS = 5
MAX_BYTES = 1 << 31  # of the features that scikit-learn is given
MAX_ITERATIONS = 1000
FITS = FOLDS * STRENGTHS + 1  # the last one on all examples


@dataclass(frozen=True, slots=True)
class LbfgsFit(Judged):
    """A logistic regression that scikit-learn fitted, judged on M test examples.

    P: the probability of each class for each test example, (M, C), in blocks.
    train_accuracy: the accuracy on the examples that it was fitted on.
    strength: C, the chosen inverse strength of the penalty.
    iterations: the most that each of its fits may take.
    unconverged: how many of its fits, of all folds and strengths, ended before they converged.
    """

    P: Probabilities
    train_accuracy: float
    strength: float
    iterations: int
    unconverged: int

    kind: ClassVar[str] = "lbfgs"

    def probabilities(self, test: Dataset) -> Probabilities:
        """Return the probability of each class for each test example, (M, C), in blocks."""
        return self.P

    def described(self, seconds: float) -> str:
        """Return a sentence on what this baseline is; seconds: how long the trial was trained."""
        return (
            f"the baseline is {LBFGS} ({STRENGTHS} strengths, {FOLDS} folds; C = "
            f"{self.strength:.3g}), fitted in {_rounded(self.seconds)} s; the trial in "
            f"{_rounded(seconds)} s, after the search"
        )

    def remarks(self) -> list[str]:
        """Return a sentence if not all of its fits converged."""
        if not self.unconverged:
            return []
        return [
            f"the baseline did not converge in {self.unconverged:,} of its {FITS} fits of "
            f"{self.iterations:,} iterations at most: it could be a little better than it is here"
        ]


@dataclass(frozen=True, slots=True)
class LbfgsModel:
    """A logistic regression that scikit-learn fitted, and that has not seen the test set.

    pipeline: scikit-learn's. weights: (D, C) those of the standardised features, of which the
    classes' sum is zero. The others are as in `LbfgsFit`.
    """

    pipeline: Any
    weights: npt.NDArray[np.float32]
    seconds: float
    train_accuracy: float
    iterations: int
    unconverged: int

    def judged(self, test: Dataset) -> LbfgsFit:
        """Predict the test set, with the features as they are in the data."""
        P = self._probabilities(test)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of test examples that lie far from the others
            predicted = np.concatenate(
                [self.pipeline.predict(test.X[rows]) for rows in row_blocks(P.shape)]
            ).astype(np.intp)
        return LbfgsFit(
            predicted=predicted,
            correct=predicted == test.y,
            seconds=self.seconds,
            P=P,
            train_accuracy=self.train_accuracy,
            strength=float(np.mean(self.pipeline[-1].C_)),
            iterations=self.iterations,
            unconverged=self.unconverged,
        )

    def _probabilities(self, test: Dataset) -> SoftmaxProbabilities:
        """Return those of scikit-learn's predict_proba, in blocks; it is a softmax as well."""
        scaler, regression = self.pipeline
        classes, C = regression.classes_, self.weights.shape[1]
        W, b = regression.coef_, np.atleast_1d(regression.intercept_)
        if len(classes) == 2:  # w and b for the second class against the first
            W, b = np.concatenate((-W, W)) / 2, np.concatenate((-b, b)) / 2
        weights, biases = np.zeros((W.shape[1], C)), np.full(C, -np.inf)
        weights[:, classes], biases[classes] = W.T, b
        return SoftmaxProbabilities(test.X, weights, biases, scaler.transform)


def _rounded(seconds: float) -> str:
    """Return seconds with as many digits as say something."""
    return f"{seconds:.2f}" if seconds < 1 else f"{seconds:,.1f}"


def fit_lbfgs(train: Dataset, iterations: int = MAX_ITERATIONS) -> LbfgsModel:
    """Fit the baseline on the training examples.

    They have the features as they are in the data: the baseline scales them itself.

    Raises LockstepError if scikit-learn cannot fit it, for example because every class has fewer
    examples than there are folds.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if train.X.nbytes > MAX_BYTES:
        raise LockstepError(
            f"[baseline]: scikit-learn needs all features in memory, and these need "
            f"{train.X.nbytes / 1e9:.0f} GB: give a configuration as the baseline"
        )
    X = train.X[:]
    pipeline = make_pipeline(StandardScaler(), _regression(iterations))
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            pipeline.fit(X, train.y)
        except ValueError as error:
            raise LockstepError(
                f"[baseline]: scikit-learn cannot fit it to this data: {error}"
            ) from error
        seconds = time.perf_counter() - started
        train_accuracy = float((pipeline.predict(X) == train.y).mean())
    regression = pipeline[-1]
    return LbfgsModel(
        pipeline=pipeline,
        weights=_weights(regression.coef_, regression.classes_, len(train.class_names)),
        seconds=seconds,
        train_accuracy=train_accuracy,
        iterations=iterations,
        unconverged=sum(issubclass(each.category, ConvergenceWarning) for each in caught),
    )


def _regression(iterations: int) -> Any:
    """Return scikit-learn's estimator, without arguments that its version deprecates."""
    from sklearn.linear_model import LogisticRegressionCV

    # From 1.8 on, these two must be given for what is the default before.
    newer = {"l1_ratios": (0.0,), "use_legacy_attributes": False}
    known = LogisticRegressionCV().get_params()
    return LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=FOLDS,
        max_iter=iterations,
        scoring="accuracy",
        **(newer if "use_legacy_attributes" in known else {}),
    )


def _weights(
    coefficients: npt.NDArray[np.float64], classes: Labels, C: int
) -> npt.NDArray[np.float32]:
    """Return scikit-learn's coefficients, (1 or number of classes, D), as weights (D, C).

    A class without training examples has the weight zero.
    """
    if len(classes) == 2:  # w for the second class against the first
        coefficients = np.concatenate((-coefficients, coefficients)) / 2
    weights = np.zeros((coefficients.shape[1], C), np.float32)
    weights[:, classes] = coefficients.T
    return weights
