"""Compare several studies by their best trials, in pairs where the validation examples agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
import numpy.typing as npt

from core.statistics.paired import Means, differences, holm, mcnemar_tests, t_test
from search.commands.compare import Comparison
from search.console import table
from search.errors import LockstepError
from search.spec.configuration import features_value


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of the best trial of a study from the reference, the best trial of all.

    paired: whether both are validated on the same examples.
    loss, loss_error: by how much the mean validation loss is higher, and its standard error.
    accuracy: by how much the validation accuracy is lower.
    loss_p, accuracy_p: Holm-adjusted p values, None if not paired.
    """

    paired: bool
    loss: float
    loss_error: float
    loss_p: float | None
    accuracy: float
    accuracy_p: float | None


@dataclass(frozen=True, slots=True)
class StudiesComparison:
    """The result of comparing studies.

    studies: best first, by validation loss.
    differences: those of each other study from the first; None if data or classes differ, so that
        the scores cannot be compared.
    """

    studies: list[Comparison]
    differences: list[Difference | None]

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        rows = []
        for each, difference in zip(self.studies, [None, *self.differences], strict=True):
            best = each.choice.best
            rows.append(
                {
                    "study": each.spec.name,
                    "data_digest": each.data.digest,
                    "trials": len(each.trials),
                    "best": best.trial.number,
                    "val_loss": best.trial.val_loss,
                    "loss_error": best.loss_error,
                    "val_accuracy": best.trial.val_accuracy,
                    "accuracy_error": best.accuracy_error,
                    "optimism": each.choice.optimism.amount,
                    "behind": difference
                    and {
                        "paired": difference.paired,
                        "loss": difference.loss,
                        "loss_error": difference.loss_error,
                        "loss_p": difference.loss_p,
                        "accuracy": difference.accuracy,
                        "accuracy_p": difference.accuracy_p,
                    },
                }
            )
        return {"studies": rows}


def compare_studies(comparisons: Sequence[Comparison]) -> StudiesComparison:
    """Compare the best trials of several studies. Raises LockstepError if one is named twice."""
    names = [each.spec.name for each in comparisons]
    for name in names:
        if names.count(name) > 1:
            raise LockstepError(f"{name} is named twice: name each study once")
    ordered = sorted(comparisons, key=lambda each: each.choice.best.trial.val_loss)
    reference = ordered[0]
    paired = _PairedTests.of([each for each in ordered if _same_examples(each, reference)])
    found: list[Difference | None] = []
    for other in ordered[1:]:
        if _same_examples(other, reference):
            found.append(paired.difference(other))
        elif _same_problem(other, reference):
            found.append(_unpaired(other, reference))
        else:
            found.append(None)
    return StudiesComparison(ordered, found)


def _same_examples(one: Comparison, other: Comparison) -> bool:
    """Return whether two studies are validated on the same examples."""
    return one.data.validation.digest == other.data.validation.digest


def _same_problem(one: Comparison, other: Comparison) -> bool:
    """Return whether two studies tell the same classes of the same source apart.

    Files of features hold the same examples if they have the same file of labels.
    """
    (mine, its), (my_data, its_data) = (one.spec.data, other.spec.data), (one.data, other.data)
    same = (mine.source, mine.labels) == (its.source, its.labels)
    return same and my_data.train.class_names == its_data.train.class_names


@dataclass(frozen=True, slots=True)
class _PairedTests:
    """Tests of the best trials of K studies, example by example, against that of the first.

    loss: the differences of the losses, K each. loss_p, accuracy_p: Holm-adjusted p values of the
    other K - 1 studies.
    """

    studies: Sequence[Comparison]
    loss: Means
    loss_p: npt.NDArray[np.float64]
    accuracy_p: npt.NDArray[np.float64]

    @classmethod
    def of(cls, studies: Sequence[Comparison]) -> _PairedTests:
        """Return the tests of studies that are all validated on the same examples."""
        losses = np.stack([each.scores.losses[0] for each in studies])
        errors = np.stack([each.scores.errors[0] for each in studies])
        loss = differences(losses)
        loss_p = holm(t_test(loss, losses.shape[1])[1:])
        return cls(studies, loss, loss_p, holm(mcnemar_tests(errors)[1:]))

    def difference(self, study: Comparison) -> Difference:
        """Return the difference of one of the studies from the first."""
        k = self.studies.index(study)
        return Difference(
            paired=True,
            loss=float(self.loss.mean[k]),
            loss_error=float(self.loss.standard_error[k]),
            loss_p=float(self.loss_p[k - 1]),
            accuracy=_accuracy_behind(study, self.studies[0]),
            accuracy_p=float(self.accuracy_p[k - 1]),
        )


def _unpaired(other: Comparison, reference: Comparison) -> Difference:
    """Return the difference of a study from the reference, validated on other examples."""
    mine, best = other.choice.best, reference.choice.best
    return Difference(
        paired=False,
        loss=mine.trial.val_loss - best.trial.val_loss,
        loss_error=hypot(mine.loss_error, best.loss_error),
        loss_p=None,
        accuracy=_accuracy_behind(other, reference),
        accuracy_p=None,
    )


def _accuracy_behind(other: Comparison, reference: Comparison) -> float:
    """Return by how much the accuracy of a study's best trial is lower than the reference's."""
    return reference.choice.best.trial.val_accuracy - other.choice.best.trial.val_accuracy


def summary(comparison: StudiesComparison) -> str:
    """Return the text for people: a table of the best trials, and their differences in words."""
    rows = []
    for each in comparison.studies:
        best = each.choice.best
        tried = best.trial.hyperparameters
        rows.append(
            [
                each.spec.name,
                f"{len(each.trials):,}",
                " ".join([f"#{best.trial.number}", *features_value(tried, each.spec)]),
                f"{tried.learning_rate:.3g}",
                f"{tried.weight_decay:.3g}",
                f"{tried.batch_size}",
                f"{best.trial.val_loss:.5f} ± {best.loss_error:.5f}",
                f"{100 * best.trial.val_accuracy:.2f} ± {100 * best.accuracy_error:.2f} %",
                each.choice.objective.amount(each.choice.optimism.amount),
            ]
        )
    headings = [
        "study", "trials", "best", "learning rate", "weight decay", "batch", "val loss", "accuracy",
        "optimism",
    ]  # fmt: skip
    first = comparison.studies[0]
    lines = [table(headings, rows), ""]
    for other, difference in zip(comparison.studies[1:], comparison.differences, strict=True):
        lines.append(f"{other.spec.name} against {first.spec.name}: {_in_words(difference)}")
    return "\n".join(lines)


def _in_words(difference: Difference | None) -> str:
    """Return a difference in words, with its p values if it is paired."""
    if difference is None:
        return "other data or other classes, so that their scores cannot be compared"
    points = 100 * difference.accuracy
    way = "lower" if points >= 0 else "higher"
    loss = f"validation loss {difference.loss:.5f} ± {difference.loss_error:.5f} higher"
    accuracy = f"accuracy {abs(points):.2f} percentage points {way}"
    if not difference.paired:
        return (
            f"{loss}, {accuracy}; the validation examples differ, so they are not paired: part of "
            "the difference may be luck of the split, and no p value is given"
        )
    return (
        f"{loss} (p = {difference.loss_p:.2g}, paired t test), {accuracy} "
        f"(p = {difference.accuracy_p:.2g}, McNemar mid-p), on the same validation examples"
    )
