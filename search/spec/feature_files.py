"""The key data.features of a study file: several sets of features of the same examples."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from core.datasets.source import suffix_of
from search.spec.messages import shortened

MAX_SETS = 1000  # of features in one study
LONGEST_NAME = 60  # Names stand in tables, figures and tags.
SHOWN = 5  # the most names that a sentence lists

Pairs = Sequence[tuple[str, str]]  # the name and the file of each set of features, in order


class NamedFeatures(NamedTuple):
    """One of several sets of features: its name, and its file as the study file gives it."""

    name: str
    file: str

    def __str__(self) -> str:
        """Return both in words."""
        return f"{self.name} ({self.file})"


def named_files(given: object, folder: Path) -> dict[str, str]:
    """Return the files of features by name, in order, as the key `data.features` gives them.

    given: a pattern such as "layer-*.npy", whose matches are sorted, numbers by their size; a list
        of files; or a table of names to files. Without a table, a file is named by its stem, or by
        its path without suffix if stems are not distinct.
    folder: the study file's. A pattern that matches nothing there is tried where the command runs.

    Raises ValueError, with one sentence, if there are no such files or names.
    """
    match given:
        case str():
            files = _matches(given, folder)
        case list() | tuple():
            files = [_text(each) for each in given]
        case dict():
            files = [_text(each) for each in given.values()]
        case _:
            raise ValueError(
                f'{shortened(given)}: give a pattern such as "layers/layer-*.npy", a list of .npy '
                "files, or a table of names to files"
            )
    if not 1 <= len(files) <= MAX_SETS:
        raise ValueError(f"{len(files):,} files: give from 1 to {MAX_SETS:,}")
    for file in files:
        if suffix_of(file) != ".npy":
            raise ValueError(f"{shortened(file)}: give .npy files")
    if twice := next((file for file in files if files.count(file) > 1), None):
        raise ValueError(f"{shortened(twice)} is listed twice: list each file once")
    names = [str(name) for name in given] if isinstance(given, dict) else _names(files)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(
            f"two of the files would be called {shortened(twice)}: give a table of distinct names "
            "to files"
        )
    for name in names:
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise ValueError(
                f"{shortened(name)} cannot name a set of features: give a table of names of 1 to "
                f"{LONGEST_NAME} printable characters to files"
            )
    return dict(zip(names, files, strict=True))


def _text(file: Any) -> str:
    """Return a file's path. Raises ValueError if it is no text."""
    if not isinstance(file, str):
        raise ValueError(f"{shortened(file)}: give the path of an .npy file in quotes")
    return file


def _matches(pattern: str, folder: Path) -> list[str]:
    """Return the files that match a pattern, sorted. Raises ValueError if there is none."""
    for root in (folder, Path()):
        if found := glob.glob(pattern, root_dir=root, recursive=True):
            return sorted(found, key=_by_number)
    where = "" if PurePath(pattern).is_absolute() else f" in {folder.absolute()}"
    raise ValueError(
        f"{shortened(pattern)} matches no file{where}: give a pattern of .npy files, by their path "
        "from the study file"
    )


def _by_number(path: str) -> list[tuple[int, int, str]]:
    """Return the key by which layer-9 comes before layer-10."""
    parts = re.split(r"(\d+)", path)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _names(files: Sequence[str]) -> list[str]:
    """Return a name for each file: its stem, or its path without suffix if stems recur."""
    stems = [PurePath(file).stem for file in files]
    if len(set(stems)) == len(stems):
        return stems
    return [PurePath(file).with_suffix("").as_posix() for file in files]


def changes(old: Pairs | None, new: Pairs | None) -> str:
    """Return in words how the sets of features differ that two studies have."""
    before, after = dict(old or ()), dict(new or ())
    parts = [
        f"{word} {_some(names)}"
        for word, names in (
            ("added", [f"{name} = {after[name]!r}" for name in after if name not in before]),
            ("removed", [f"{name} = {before[name]!r}" for name in before if name not in after]),
            (
                "changed",
                [
                    f"{name} = {before[name]!r} → {after[name]!r}"
                    for name in after
                    if before.get(name, after[name]) != after[name]
                ],
            ),
        )
        if names
    ]
    return "; ".join(parts) or f"another order: {_some(list(before))} → {_some(list(after))}"


def _some(names: Sequence[str]) -> str:
    """Return up to `SHOWN` names as a list, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
