"""Axes that several figures share."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from search.figures.style import cap_accuracies


@pytest.mark.parametrize("values", [[100, 100], [99.9, 100], [40, 100], [0, 99]])
def test_no_accuracy_above_100_per_cent_is_marked(values: list[float]) -> None:
    ax = Figure().subplots()
    ax.plot(values)
    low, _ = ax.get_ylim()
    cap_accuracies(ax)
    bottom, top = ax.get_ylim()
    assert bottom == low < min(values)
    assert top > max(values), "the line is whole"
    assert max(tick for tick in ax.get_yticks() if tick <= top) <= 100


def test_lower_accuracies_keep_their_axis() -> None:
    ax = Figure().subplots()
    ax.plot([50, 60])
    before = ax.get_ylim()
    cap_accuracies(ax)
    assert ax.get_ylim() == before
