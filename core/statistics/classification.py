"""Scores of a classifier on M test examples, by scikit-learn's definitions, with 95 % intervals.

Accuracies are proportions, and have Wilson's interval; balanced accuracy is a mean of proportions
(see `proportions.py`). The area under the ROC curve has DeLong's (see `roc.py`). The other scores
have bootstrap intervals (see `stratified_bootstrap.py`).

Notation: M examples, C classes, P (M, C) probabilities.

scikit-learn is imported inside functions, because the import takes a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.statistics.probabilities import Probabilities, among_top, row_blocks
from core.statistics.proportions import Interval, mean_interval, wilson_interval
from core.statistics.roc import mean_area
from core.statistics.stratified_bootstrap import (
    indicators,
    macro_f1s,
    percentile,
    reflected,
    resampled,
)

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

BINS = 15  # of the calibration error
TOP = 5  # top-5 accuracy
TOP_CLASSES = 11  # the fewest classes for which guessing is right less than half of the time


class Estimate(NamedTuple):
    """A score, and its 95 % interval, None if there is none to be had from these examples."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class ClassScores:
    """The scores of one class.

    support: the number of examples of the class.
    predicted: the number of examples that are predicted to be of it.
    precision: the share of ``predicted`` that is right, None if nothing is predicted.
    recall: the share of ``support`` that is found, None if the class has no example.
    """

    name: str
    support: int
    predicted: int
    precision: Estimate | None
    recall: Estimate | None


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a classifier.

    balanced_accuracy: the mean recall of the classes that have examples.
    macro_f1: the mean F1 of the classes that have examples or predictions.
    auroc: the area under the ROC curve; for more than two classes the mean over the classes, each
        against the rest. None if a class has no example.
    calibration_error: the expected calibration error of the predicted class's probability, in
        `BINS` bins of equal width.
    log_loss: the mean cross-entropy in nats.
    top_5_accuracy: the share of examples whose class is among the five most probable ones, None
        if there are fewer than `TOP_CLASSES` classes.
    classes: in class order, (C,).
    """

    balanced_accuracy: Estimate
    macro_f1: Estimate
    auroc: Estimate | None
    calibration_error: Estimate
    log_loss: Estimate
    top_5_accuracy: Estimate | None
    classes: tuple[ClassScores, ...]

    def by_name(self) -> dict[str, Estimate | None]:
        """Return the scores of all classes together by name, without those that need more classes.

        A score that cannot be computed is None.
        """
        found = {
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "auroc": self.auroc,
            "calibration_error": self.calibration_error,
            "log_loss": self.log_loss,
        }
        top = self.top_5_accuracy
        return found if top is None else found | {"top_5_accuracy": top}

    @property
    def absent(self) -> tuple[str, ...]:
        """The names of the classes that have no example."""
        return tuple(each.name for each in self.classes if not each.support)


def classification_scores(
    P: Probabilities, predicted: Labels, y: Labels, class_names: Sequence[str], seed: int
) -> Scores:
    """Return the scores of probabilities P (M, C) and predictions (M,) for the labels y (M,).

    P is read in blocks, first of examples and then of classes. seed: decides the resamples.

    Raises ValueError if the shapes disagree or there is no example.
    """
    from sklearn.metrics import f1_score

    M, C = P.shape
    if not (len(predicted) == len(y) == M >= 1 and len(class_names) == C >= 2):
        raise ValueError(
            f"probabilities of shape {P.shape} do not fit {len(y)} labels, {len(predicted)} "
            f"predictions and {len(class_names)} classes"
        )
    classes = class_scores(predicted, y, class_names)
    own, confidence, hits = _of_examples(P, predicted, y)
    gaps, bins = _calibration(confidence, predicted, y)
    by_bin = indicators(bins, BINS, gaps)
    losses = -np.log(np.clip(own, np.finfo(own.dtype).eps, 1))
    blocks = [
        (
            macro_f1s(W, y, predicted, C),
            np.abs(W @ by_bin).sum(axis=1) / M,
            W @ losses / M,
        )
        for W in resampled(y, seed)
    ]
    f1s, errors, mean_losses = map(np.concatenate, zip(*blocks, strict=True))
    error = float(np.abs(by_bin.sum(axis=0)).sum()) / M
    auroc = top = None
    if all(each.support for each in classes):
        area = mean_area(P, y)
        auroc = Estimate(area.mean, area.interval())
    if C >= TOP_CLASSES:
        top = Estimate(float(hits.mean()), wilson_interval(int(hits.sum()), M))
    f1 = float(f1_score(y, predicted, average="macro", zero_division=0))
    return Scores(
        balanced_accuracy=_balanced_accuracy(predicted, y),
        macro_f1=Estimate(f1, percentile(f1s)),
        auroc=auroc,
        calibration_error=Estimate(error, reflected(errors, error)),
        log_loss=Estimate(float(losses.mean()), percentile(mean_losses)),
        top_5_accuracy=top,
        classes=classes,
    )


def _of_examples(
    P: Probabilities, predicted: Labels, y: Labels
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return of each example, (M,) each: the probability of its class, that of the predicted class,
    and whether its class is among the `TOP` most probable ones."""
    own, confidence = np.empty(len(y)), np.empty(len(y))
    hits = np.empty(len(y), np.bool_)
    for rows in row_blocks(P.shape):
        block = P[rows, :]
        each = np.arange(len(block))
        own[rows], confidence[rows] = block[each, y[rows]], block[each, predicted[rows]]
        hits[rows] = among_top(block, y[rows], TOP)
    return own, confidence, hits


def class_scores(
    predicted: Labels, y: Labels, class_names: Sequence[str]
) -> tuple[ClassScores, ...]:
    """Return the scores of each of C classes, with Wilson's intervals."""
    C = len(class_names)
    support, taken = np.bincount(y, minlength=C), np.bincount(predicted, minlength=C)
    right = np.bincount(y[predicted == y], minlength=C)
    counts = zip(class_names, support.tolist(), taken.tolist(), right.tolist(), strict=True)
    return tuple(
        ClassScores(name, n, chosen, _share(hits, chosen), _share(hits, n))
        for name, n, chosen, hits in counts
    )


def _share(hits: int, n: int) -> Estimate | None:
    """Return a proportion with Wilson's interval, None of nothing."""
    return Estimate(hits / n, wilson_interval(hits, n)) if n else None


def _balanced_accuracy(predicted: Labels, y: Labels) -> Estimate:
    """Return the mean recall of the classes that have examples."""
    present = np.unique(y)
    support = np.bincount(y)[present]
    right = np.bincount(y[predicted == y], minlength=int(present[-1]) + 1)[present]
    return Estimate(
        float((right / support).mean()), mean_interval(right.tolist(), support.tolist())
    )


def _calibration(confidence: Floats, predicted: Labels, y: Labels) -> tuple[Floats, Labels]:
    """Return confidence minus correctness of each example, (M,), and its bin, (M,).

    confidence: the probability of the predicted class, (M,). Bin g holds confidences in
    (g / `BINS`, (g + 1) / `BINS`]. The calibration error is Σ_g |Σ gaps in g| / M.
    Source: Naeini et al. (2015), AAAI; Guo et al. (2017), ICML, section 2, with 15 bins.
    """
    bins = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
    return confidence - (predicted == y), bins
