"""A model's predictions for the test set, judged by its labels, whatever made the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Dataset, Labels
from core.statistics.classification import Scores, classification_scores
from core.statistics.probabilities import Probabilities
from core.statistics.proportions import Interval, wilson_interval


@dataclass(frozen=True, slots=True)
class Judged(ABC):
    """A model that was fitted on train + validation, and its predictions for M test examples.

    predicted: the predicted class of each test example, (M,).
    correct: whether that is its label, (M,).
    seconds: how long the fitting took.
    """

    predicted: Labels
    correct: npt.NDArray[np.bool_]
    seconds: float

    @property
    def errors(self) -> int:
        """The number of test examples that are classified wrongly."""
        return int((~self.correct).sum())

    @property
    def test_accuracy(self) -> float:
        """The share of test examples that are classified correctly."""
        return float(self.correct.mean())

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson interval of the test accuracy."""
        return wilson_interval(int(self.correct.sum()), len(self.correct))

    @abstractmethod
    def probabilities(self, test: Dataset) -> Probabilities:
        """Return the probability of each class for each test example, (M, C), in blocks."""

    def scores(self, test: Dataset, seed: int) -> Scores:
        """Return the scores on the test set, beside accuracy; seed: decides the resamples."""
        names = test.class_names
        return classification_scores(self.probabilities(test), self.predicted, test.y, names, seed)
