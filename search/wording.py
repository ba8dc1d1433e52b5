"""Wording that several rooms share."""

from __future__ import annotations


def counted(n: int, word: str, plural: str = "s") -> str:
    """Return a number with its noun, which is in the plural unless the number is 1."""
    return f"{n:,} {word}{plural * (n != 1)}"


def ordinal(n: int) -> str:
    """Return a place as text, such as 1st, 2nd, 3rd, 11th."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"
