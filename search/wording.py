"""Wording that several rooms share."""

from __future__ import annotations


def counted(n: int, word: str, plural: str = "s") -> str:
    """Return a number with its noun, which is in the plural unless the number is 1."""
    return f"{n:,} {word}{plural * (n != 1)}"
