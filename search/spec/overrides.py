"""Keys of a study file that are given on the command line: ``--set model.epochs=50``.

A value is written as in the file. What is no value of TOML is taken for a text, because a shell
removes quotes: ``--set search.sampler=tpe``.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from search.errors import StudyFileError
from search.spec.messages import shortened
from search.spec.toml_writer import in_line, key_in_line

_EXAMPLE = "--set model.epochs=50"
_OPENS = ('"', "'", "[", "{")  # what begins with one of these is meant to be a value of TOML


@dataclass(frozen=True, slots=True)
class Override:
    """A key of a study file, from the top table down, and the value that it gets."""

    keys: tuple[str, ...]
    value: Any

    @classmethod
    def parsed(cls, text: str) -> Override:
        """Return what ``KEY=VALUE`` says. Raises StudyFileError, with one sentence."""
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise StudyFileError(
                f"--set {shortened(text)}: give a key of the study file and its value, such as "
                f"{_EXAMPLE}"
            )
        return cls(_keys(key, text), _value(value.strip(), text))

    @property
    def key(self) -> str:
        """The keys, joined by dots as in a study file."""
        return ".".join(map(key_in_line, self.keys))

    def __str__(self) -> str:
        """Return it as ``--set`` takes it."""
        return f"{self.key}={in_line(self.value)}"


def overridden(table: Mapping[str, Any], overrides: Iterable[Override]) -> dict[str, Any]:
    """Return a study file's tables with these keys changed or added; a later one wins.

    Raises StudyFileError if a key is to be in what is no table.
    """
    changed = copy.deepcopy(dict(table))
    for override in overrides:
        *parents, last = override.keys
        inner = changed
        for depth, key in enumerate(parents):
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                whole = ".".join(parents[: depth + 1])
                raise StudyFileError(
                    f"--set {override}: {whole} is {shortened(inner)}, which has no keys: give a "
                    f"value for {whole} itself"
                )
        inner[last] = override.value
    return changed


def combined(earlier: Iterable[Override], later: Iterable[Override]) -> tuple[Override, ...]:
    """Return all of them in order, without those that a later one replaces."""
    kept: list[Override] = []
    for override in (*earlier, *later):
        kept = [each for each in kept if each.keys[: len(override.keys)] != override.keys]
        kept.append(override)
    return tuple(kept)


def _keys(key: str, text: str) -> tuple[str, ...]:
    """Return the parts of a dotted key. Raises StudyFileError if it is none."""
    try:
        table: Any = tomllib.loads(f"{key} = 0")
    except ValueError as error:
        raise StudyFileError(
            f"--set {shortened(text)}: {shortened(key)} is no key of a study file: give one such "
            f"as {_EXAMPLE}"
        ) from error
    keys = []
    while isinstance(table, dict):
        ((name, table),) = table.items()
        keys.append(name)
    return tuple(keys)


def _value(value: str, text: str) -> Any:
    """Return a value of TOML, or the text. Raises StudyFileError if it only begins as a value."""
    try:
        found = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError) as error:
        if value.startswith(_OPENS):
            raise StudyFileError(
                f"--set {shortened(text)}: the value is not valid TOML: {str(error)[:80]}: give it "
                "as in a study file, in quotes for the shell"
            ) from error
        return value
    return found["value"] if len(found) == 1 else value
