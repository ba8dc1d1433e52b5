"""The ranges that fit data: inside what the trainer can take, whatever the data is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.proposal.ranges import LARGEST_BATCH, MOMENTUM, ranges_for


@given(rows=st.integers(8, 10**7), curvature=st.floats(0.5, 1e8))
def test_ranges_fit_any_data(rows: int, curvature: float) -> None:
    found = ranges_for(rows, curvature)
    rate, decay = found.learning_rate, found.weight_decay
    assert 0 < rate.low < found.stable
    assert rate.high == pytest.approx(2 * found.stable, rel=0.06)
    assert found.stable == pytest.approx(2 * (1 + MOMENTUM) / curvature)
    assert 0 < decay.low < decay.high
    assert decay.high * rate.high <= 2 * (1 + MOMENTUM), "the penalty alone cannot diverge"
    assert 1 <= found.batch_size <= min(rows, LARGEST_BATCH)
    assert found.epochs >= 1
