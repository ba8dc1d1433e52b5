"""Figures of a study and of a retrained model, as PNG bytes.

Matplotlib's objects only: pyplot's global state would follow whoever imports this. Imported
inside functions, because that takes half a second.

Notation: E epochs, C classes. Losses are in nats, accuracies in [0, 1] and drawn in per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.result import Status

Objective = Literal["val_loss", "val_accuracy"]

DPI = 110
MAX_PANELS = 12  # batch sizes that are drawn apart
MAX_CURVES = 10
MAX_ANNOTATED = 20  # classes of a confusion matrix whose counts can be read

# Of Okabe and Ito: told apart by every kind of colour vision.
BLUE, ORANGE, VERMILION, INK, MUTED = "#0072B2", "#E69F00", "#D55E00", "#222222", "#6E6E6E"
NO_VALUE = "#D9D9D9"
COLOURS = "viridis_r"


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """What a study's figures show of a trial; the values may be inf or nan if it diverged."""

    number: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    val_loss: float
    val_accuracy: float
    status: Status


def heat_maps(points: Sequence[TrialPoint], objective: Objective = "val_loss") -> bytes:
    """A PNG of the objective over learning rate and weight decay, one panel a batch size.

    One colour scale for all, logarithmic in the loss or in the error rate. Trials on a grid are
    cells, others dots on logarithmic axes. Trials without a value are hatched cells or crosses;
    those stopped early carry a dot; the best completed one has a star.

    Raises ValueError if there are no points.
    """

    _need(points, "heat map", "trial")
    ...
