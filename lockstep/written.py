"""Write a study that was made in Python down in the home: its study file and its data."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from lockstep.given import OWN_DATA, Files
from search.errors import LockstepError
from search.spec.study_spec import StudySpec

STUDY_FILE = "study.toml"
_MARK = "# Written by lockstep.Study in Python; `lockstep launch` on this file continues the study."
_NEW = ".new"  # at the end of the name of a file while it is written


def text_of(table: dict[str, Any], comments: Sequence[str] = ()) -> str:
    """Return a study file as text. comments: lines that begin with #."""
    return "\n".join([_MARK, *comments, "", tomli_w.dumps(table)])


def _check_own(file: Path) -> None:
    """Raise LockstepError if there is a study file that was not written here."""
    with contextlib.suppress(FileNotFoundError):
        if not file.read_bytes().startswith(_MARK.encode()):
            raise LockstepError(
                f"{file}: this study file was not written by Python, and is left as it is: go on "
                f"with lockstep.load({str(file)!r}), or give this study another name"
            )


@contextlib.contextmanager
def data_written(files: Files, folder: Path) -> Iterator[None]:
    """Write the files of the data that are not there yet into the folder of a study.

    If the block is left by an error before `keep` was called, they are removed again.

    Raises LockstepError if a study file of somebody else's is there, and OSError if a file cannot
    be written.
    """
    _check_own(folder / STUDY_FILE)
    new_folders = [each for each in (folder, *folder.parents) if not each.exists()]
    new = [folder / name for name in files.write if not (folder / name).exists()]
    try:
        if files.keys:
            folder.mkdir(parents=True, exist_ok=True)  # paths lead out of it
        for path in new:
            _write(path, files.write[path.name])
        yield
    except BaseException:
        if not (folder / STUDY_FILE).exists():
            _remove(new, new_folders)
        elif not _names(folder, files):
            _remove(new, [])
        raise


def _names(folder: Path, files: Files) -> bool:
    """Return whether the study file in the folder names these files."""
    text = (folder / STUDY_FILE).read_text(encoding="utf-8")
    return any(name in text for name in files.write)


def keep(spec: StudySpec, files: Files, text: str) -> None:
    """Write the study file, and remove files of data that no study uses any more.

    The caller must hold the lease of the study.
    """
    folder = spec.file.parent
    for path in folder.iterdir():
        if re.fullmatch(rf"{OWN_DATA}(\{_NEW})?", path.name) and path.name not in files.write:
            path.unlink()
    raw = text.encode("utf-8")
    if not spec.file.exists() or spec.file.read_bytes() != raw:
        _write(spec.file, lambda path: path.write_bytes(raw))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file, whole or not at all. Raises OSError."""
    unfinished = path.with_name(f"{path.name}{_NEW}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _remove(files: list[Path], folders: list[Path]) -> None:
    """Remove files, and folders that were made for them if nothing else is there."""
    for path in files:
        path.unlink(missing_ok=True)
    for folder in folders:
        with contextlib.suppress(OSError):  # something else is there
            folder.rmdir()
