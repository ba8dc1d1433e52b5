"""What is checked of the features of every source, with one sentence for each mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError

Array = npt.NDArray[Any]


def listed(names: Sequence[object], most: int = 20) -> str:
    """Return at most so many names as text for a message, each as `shown_name` gives it."""
    shown = ", ".join(shown_name(name) for name in names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def shown_name(name: object) -> str:
    """Return a name for a message: at most 60 characters, all of which can be printed."""
    text = str(name)
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 60 else f"{text[:59]}…"


def check_finite(X: Array, where: str) -> None:
    """Raise DataError if a feature of X (any shape) is missing, infinite or too large for float32.

    where: what X is called in the message.
    """
    if X.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore", over="ignore"):  # The errors below say more.
        extremes = np.array([X.min(), X.max()])  # Both are NaN if any value is.
        if np.isfinite(extremes.astype(np.float32)).all():
            return
    missing = np.isnan(X)
    if missing.any():
        columns = missing.any(axis=0)
        some = f" ({counts_by_column(missing)})" if X.ndim == 2 else ""
        raise DataError(
            f"{where} must be finite in float32, but has {int(missing.sum()):,} missing values "
            f"(nan) in {int(columns.sum()):,} columns{some}: fill them in, or leave these rows or "
            "columns out."
        )
    raise DataError(
        f"{where} must be finite in float32, but has values from {extremes[0]} to {extremes[1]}."
    )


def counts_by_column(missing: npt.NDArray[np.bool_], names: Sequence[str] | None = None) -> str:
    """Return how many values are missing in which columns, (N, D), for a message."""
    counts = missing.sum(axis=0)
    places = np.flatnonzero(counts).tolist()
    called = [names[place] if names else f"column [:, {place}]" for place in places]
    each = [f"{counts[place]:,} in {name}" for place, name in zip(places, called, strict=True)]
    return listed(each, 5)
