"""The error in the data, which every module of this folder raises."""

from __future__ import annotations


class DataError(ValueError):
    """An error in the data. Its text is one sentence for the user."""
