"""The record of a study that was launched with `--set` or `--name`: what its file would be.

It lies in the study's folder in the home, so that other commands find the study by its name, and
know what it was launched with. Its data files are named from the folder of the file that it was
made from.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import StudyFileError
from search.home import RECORD
from search.spec.overrides import Override
from search.spec.toml_writer import toml

_HEAD = """\
# Written by `lockstep launch`, which had keys on its command line: do not change it.
# `lockstep show {name}` prints it as a study file.
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """How a study came about that is not as its file says.

    tables: the tables of its file, with the keys of the command line.
    folder: from which its data files are named.
    overrides: the keys of the command line.
    is_named: whether it has a name of its own, by which commands find its record.
    """

    tables: Mapping[str, Any]
    folder: Path
    overrides: tuple[Override, ...]
    is_named: bool

    @property
    def given(self) -> tuple[str, ...]:
        """The keys of the command line as ``--set`` takes them, without the name."""
        return tuple(str(each) for each in self.overrides if each.keys != ("name",))


def write_record(variant: Variant | None, name: str, folder: Path) -> None:
    """Write the record into the study's folder, or remove one that is no longer true.

    variant: None if the study is as its file says. Raises OSError.
    """
    path = folder / RECORD
    if variant is None:
        path.unlink(missing_ok=True)
        return
    table = {
        "folder": str(variant.folder.absolute()),
        "named": variant.is_named,
        "set": [str(each) for each in variant.overrides],
        "study": variant.tables,
    }
    unfinished = path.with_name(f"{RECORD}.new")
    unfinished.write_text(_HEAD.format(name=name) + toml(table), encoding="utf-8")
    os.replace(unfinished, path)


def read_record(folder: Path) -> Variant | None:
    """Return the record in a study's folder, None if there is none.

    Raises StudyFileError if it was damaged.
    """
    path = folder / RECORD
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{path}: cannot be read: {error}") from error
    try:
        table = tomllib.loads(text)
        return Variant(
            tables=dict(table["study"]),
            folder=Path(table["folder"]),
            overrides=tuple(map(Override.parsed, table["set"])),
            is_named=bool(table["named"]),
        )
    except (ValueError, KeyError, TypeError, StudyFileError) as error:
        raise StudyFileError(
            f"{path}: damaged: launch the study again with the same --set and --name, which writes "
            "it anew"
        ) from error
