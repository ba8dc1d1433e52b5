"""Figures are looked at here."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def _painted(painted: None) -> None:
    """Have every figure painted."""
