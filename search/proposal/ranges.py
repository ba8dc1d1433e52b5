"""The ranges that fit some data: how long to train, in which batches, and what to search.

Notation: N training examples (of the smallest fold), L the largest curvature (`curvature.py`),
μ the momentum, η a learning rate, λ a weight decay. All rules were chosen by the benchmark
`tests/benchmarks/tables.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MOMENTUM = 0.9
MOST_ROWS_FOR_FOLDS = 2000
FOLDS = 5
VALIDATION_FRACTION = 0.2
STEPS = 3000  # of a training, if it may have as many epochs as they take
STEPS_AN_EPOCH = 16
FEWEST_EPOCHS, MOST_EPOCHS = 30, 600
SMALLEST_BATCH, LARGEST_BATCH = 8, 256
BEYOND_STABLE = 2  # The bound holds for the worst weights; at most weights the loss bends less.
RATES, DECADES_OF_RATES = 8, 2.5
DECAYS = 6
STRENGTHS = (1e-2, 1e4)  # of scikit-learn's C = 1 / (λ N): the strongest penalty and the weakest


@dataclass(frozen=True, slots=True)
class Axis:
    """A log grid of values, from low to high."""

    low: float
    high: float
    points: int


@dataclass(frozen=True, slots=True)
class Ranges:
    """What a study searches.

    stable: the largest learning rate that cannot diverge on any weights.
    """

    epochs: int
    batch_size: int
    learning_rate: Axis
    weight_decay: Axis
    stable: float

    @property
    def trials(self) -> int:
        """The number of configurations."""
        return self.learning_rate.points * self.weight_decay.points


def ranges_for(rows: int, curvature: float) -> Ranges:
    """Return the ranges for so many training rows of this curvature.

    With a bias, it is ½ at least.
    """
    wanted = 2 ** round(math.log2(max(rows / STEPS_AN_EPOCH, 1)))
    batch_size = min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH, rows)
    epochs = min(max(round(STEPS * batch_size / rows), FEWEST_EPOCHS), MOST_EPOCHS)
    stable = 2 * (1 + MOMENTUM) / curvature
    high = rounded(BEYOND_STABLE * stable)
    weakest, strongest = (1 / (C * rows) for C in reversed(STRENGTHS))
    # A step shrinks weights by ηλ, which must stay well below 2 (1 + μ).
    strongest = max(min(strongest, 1 / high), 10 * weakest)
    return Ranges(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=Axis(rounded(high / 10**DECADES_OF_RATES), high, RATES),
        weight_decay=Axis(rounded(weakest), rounded(strongest), DECAYS),
        stable=stable,
    )


def rounded(value: float) -> float:
    """Return a value with two significant digits."""
    return float(f"{value:.1e}")
