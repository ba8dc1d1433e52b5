"""Find study files by the name that a user gives, read them, and validate them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.errors import StudyFileError
from search.spec.data_spec import FOLDER
from search.spec.messages import sentence, shortened
from search.spec.recorded import Variant
from search.spec.study_spec import STUDIES, StudySpec
from search.spec.toml_text import parsed

MAX_FILE_BYTES = 1 << 20
GIVEN = 200  # characters of the command line that a message repeats


def find(study: str) -> Path:
    """Return the path of the study file that a user names.

    The user gives its path, or only its name without ``.toml`` if it is in ``studies/``.

    Raises StudyFileError if there is no such file.
    """
    path = Path(study)
    try:
        if path.is_file():
            return path
        bare = STUDIES / f"{study}.toml"
        if path.name == study and bare.is_file():
            return bare
    except (OSError, ValueError):
        pass  # No file can have this name.
    raise StudyFileError(f"{shortened(study)}: {_why_none(path, study)}")


def _why_none(path: Path, study: str) -> str:
    """Return why a path is no study file, and what may be meant."""
    if not study.strip():
        return "no study is named; perhaps a variable of the shell is empty"
    near: list[Path] = []
    try:
        if path.is_dir():
            names = ", ".join(sorted(each.name for each in path.glob("*.toml"))) or "there is none"
            return f"this is a folder; give the path of a study file in it ({names})"
        if path.exists():
            return "this is no regular file; save the study in a file, and give its path"
        near = sorted(path.parent.glob("*.toml"))
    except (OSError, ValueError):
        pass  # No file can have this name.
    known = [each.stem for each in sorted(STUDIES.glob("*.toml"))]
    files = [str(each) for each in near]
    for meant in (f"{study}.toml", study.strip(), f"{STUDIES / path.name}"):
        if meant in files or (meant != study and os.path.isfile(meant)):
            return f"no such study file; did you mean {meant}?"
    if close := difflib.get_close_matches(study, [*files, *known], n=1, cutoff=0.8):
        return f"no such study file; did you mean {close[0]}?"
    if not known:
        return "no such study file; give the path of a study file"
    return f"no such study file; in {STUDIES}/ there are: {', '.join(known)}"


def load(path: Path) -> StudySpec:
    """Read and validate a study file. Raises StudyFileError, with one sentence, if it is wrong."""
    return validated(content(path), path)


def content(path: Path) -> bytes:
    """Return the content of a study file. Raises StudyFileError if it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise StudyFileError(f"{path}: larger than 1 MiB, which no study file is")
    except OSError as error:
        raise StudyFileError(f"{path}: cannot be read: {error.strerror}") from error
    return raw


def validated(raw: bytes, path: Path) -> StudySpec:
    """Return the study that the bytes of a file describe. Raises StudyFileError as `load` does."""
    return study_of(parsed(raw, path), path)


def made_up(text: str, path: Path, name: str) -> StudySpec:
    """Return the study of a text that was made by a program, and may be written to a file later.

    path: of that file. name: what the text is called in the sentence of a StudyFileError.
    """
    return study_of(parsed(text.encode(), path), path, called=name)


def study_of(
    tables: Mapping[str, Any],
    path: Path,
    variant: Variant | None = None,
    called: str | None = None,
) -> StudySpec:
    """Return the study that the tables of a study file describe.

    path: of the file that they are from. variant: how they differ from it. called: what they are
    called in a mistake, if it is not the path.

    Raises StudyFileError, with one sentence, if they are wrong.
    """
    folder = path.parent if variant is None else variant.folder
    try:
        spec = StudySpec.model_validate(tables, context={FOLDER: folder})
    except ValidationError as error:
        given = "" if variant is None else "".join(f" --set {each}" for each in variant.overrides)
        where = called or (f"{path} with{given[:GIVEN]}" if given else str(path))
        raise StudyFileError(sentence(where, error, StudySpec)) from error
    spec._file = path
    spec._variant = variant
    return spec
