"""The score on the validation examples by which trials are ranked, and its wording."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", float, npt.NDArray[np.floating])  # one value, or an array of them


class Scored(Protocol):
    """Anything that has the validation scores of a trial."""

    @property
    def val_loss(self) -> float:
        """The mean cross-entropy on the validation examples, in nats."""

    @property
    def val_accuracy(self) -> float:
        """The fraction of the validation examples that are classified correctly."""

    @property
    def val_balanced_accuracy(self) -> float | None:
        """The mean over classes of the fraction of their validation examples that are classified
        correctly; None if it was not asked for."""


class Objective(StrEnum):
    """The score that trials are ranked by, with its direction, unit and wording.

    Figures and statistics use its *badness*, which is lower for a better trial: the loss in nats,
    or the error rate 1 - accuracy.
    """

    LOSS = "val_loss"
    ACCURACY = "val_accuracy"
    BALANCED_ACCURACY = "val_balanced_accuracy"

    @property
    def is_loss(self) -> bool:
        """Whether the score is a loss, which is lower for a better trial."""
        return self is Objective.LOSS

    def of(self, scored: Scored) -> float:
        """Return the score of a trial: its validation loss or accuracy, balanced or not."""
        return float(getattr(scored, self.value))

    def rank_key(self, scored: Scored) -> tuple[float, float]:
        """Return the key that trials are sorted by, lower is better: the score, then the loss."""
        score = self.of(scored)
        return (score if self.is_loss else -score), scored.val_loss

    def badness(self, score: Number) -> Number:
        """Return the badness of a score, or of an array of scores."""
        return score if self.is_loss else 1 - score

    @property
    def unit_factor(self) -> float:
        """The factor of a score in a figure: 1 for nats, or 100 for per cent."""
        return 1.0 if self.is_loss else 100.0

    def on_axis(self, badness: Number) -> Number:
        """Return the value on the axis of a figure: a loss in nats, or an accuracy in per cent."""
        return self.unit_factor * (badness if self.is_loss else 1 - badness)

    @property
    def in_words(self) -> str:
        """The name of the score in words."""
        return "validation " + self.value.removeprefix("val_").replace("_", " ")

    @property
    def axis_label(self) -> str:
        """The name of the score with its unit, for the axis of a figure."""
        return f"{self.in_words} ({'nats' if self.is_loss else '%'})"

    def text(self, badness: float) -> str:
        """Return a score in words, such as "a loss of 0.00142" or "an accuracy of 98.63 %"."""
        article = "an" if self is Objective.ACCURACY else "a"
        return f"{article} {self.in_words.removeprefix('validation ')} of {self.digits(badness)}"

    def digits(self, badness: float) -> str:
        """Return a score with as many digits as a sentence shows."""
        return f"{badness:.5f}" if self.is_loss else f"{100 * (1 - badness):.2f} %"

    def short(self, badness: float) -> str:
        """Return a score to four significant digits, for a figure."""
        return f"{badness:.4g}" if self.is_loss else f"{100 * (1 - badness):.4g} %"

    def caption(self, badness: float) -> str:
        """Return a score as the caption of a picture."""
        return f"loss {self.short(badness)}" if self.is_loss else self.digits(badness)

    def amount(self, badness: float) -> str:
        """Return a difference of scores in words."""
        return f"{badness:.5f}" if self.is_loss else f"{100 * badness:.2f} percentage points"

    def worse_by(self, badness: float, error: float) -> str:
        """Return in words by how much a trial is worse than another, with the standard error."""
        if self.is_loss:
            return f"{self.in_words} worse by {badness:.2g} ± {error:.2g}"
        name = self.in_words.removeprefix("validation ")
        return f"{name} {100 * badness:.2f} ± {100 * error:.2f} percentage points lower"
