"""Read TOML from bytes, and say what is wrong with it in the words of who typed it."""

from __future__ import annotations

import codecs
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

from search.errors import StudyFileError
from search.spec.messages import shortened

_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# What is typed for a character of these categories: spaces, dashes, quotes, and what is invisible.
_TYPED = {
    "Zs": "a space", "Zl": "a space", "Zp": "a space", "Pd": "-", "Pi": '"', "Pf": '"',
    "Cf": "nothing",
}  # fmt: skip
_TYPED_FOR = {"\u2212": "-", "\u201e": '"', "\u201a": '"'}


def parsed(raw: bytes, path: Path) -> dict[str, Any]:
    """Return the table in a file's bytes. Raises StudyFileError, with one sentence, if it is wrong.

    A byte order mark before UTF-8 is left out.
    """
    text = _decoded(raw, path)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StudyFileError(f"{path}: not valid TOML: {_explained(error, text)}") from error
    except ValueError as error:  # a number has thousands of digits
        raise StudyFileError(f"{path}: not valid TOML: {shortened(str(error))}") from error


def _decoded(raw: bytes, path: Path) -> str:
    """Return the text of a file. Raises StudyFileError if it is not UTF-8."""
    halves = (raw[:64:2], raw[1:64:2])  # one of which is zero in English text, with a mark or not
    if raw.startswith(_UTF_16) or any(len(half) > 1 and not any(half) for half in halves):
        raise StudyFileError(
            f'{path}: this is UTF-16, which Notepad calls "Unicode" and PowerShell\'s > writes: '
            "save it as UTF-8"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyFileError(
            f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8"
        ) from error


def _explained(error: Exception, text: str) -> str:
    """Return why a text is not TOML, and what to type instead where that is known."""
    reason = str(error)
    found = _PLACE.search(reason)
    lines = text.split("\n")
    if found is None or not 0 < int(found[1]) <= len(lines):
        return reason
    number, column = int(found[1]), int(found[2])
    line = lines[number - 1]
    # The parser stops at the character, or, where it is to end a text, at the end of the line.
    ends = range(len(line) - 1, -1, -1) if column > len(line) and '"' in line else ()
    for place in (column - 1, *ends):
        if place < len(line) and (typed := _typed_for(line[place])) is not None:
            what = f"U+{ord(line[place]):04X} ({unicodedata.name(line[place], 'no name').lower()})"
            return f"line {number}, column {place + 1} has {what}: type {typed} instead"
    before = line[: column - 1]
    if '"' in before and "\\" in line[: column + 1] and "'" not in before:
        return (
            f"{reason}: in double quotes, \\ begins a special character: write / for it, or put "
            "the text in single quotes"
        )
    if column > len(line) and before.count("{") > before.count("}"):
        return f"{reason}: all that is between {{ and }} must stand in one line"
    return reason


def _typed_for(character: str) -> str | None:
    """Return what is to be typed for a character that only looks like one of TOML's, else None."""
    if character.isascii():
        return None
    if character in _TYPED_FOR:
        return _TYPED_FOR[character]
    alike = unicodedata.normalize("NFKC", character)
    if alike.isascii() and alike.isprintable() and alike.strip():
        return alike  # such as a full-width digit or sign
    return _TYPED.get(unicodedata.category(character))
