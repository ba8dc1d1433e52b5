"""Lines of text that are cut to a width."""

from __future__ import annotations

import pytest

from search.figures.page import fitted, text_width

NAME = "a name, that is Rather long; and more"


@pytest.mark.parametrize("text", [NAME, "W" * 40, "Ti. " * 12, "i" * 90])
def test_as_much_of_a_text_is_shown_as_fits(text: str) -> None:
    for width in range(20, text_width(text, 10), 7):
        shown = fitted(text, width, 10)
        kept = len(shown) - len("...")
        assert shown.endswith("...")
        assert text.startswith(shown[:kept])
        assert text_width(shown, 10) <= width + 1
        longer = text[: kept + 1 + text[kept:].startswith(" ")]
        assert text_width(f"{longer}...", 10) > width


def test_a_text_that_fits_is_whole() -> None:
    assert fitted(NAME, text_width(NAME, 10), 10) == NAME
    assert fitted(NAME, 1, 10) == "..."
