"""Find study files by the name that a user gives, read them, and validate them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from search.errors import StudyFileError
from search.spec.messages import sentence, shortened
from search.spec.study_spec import STUDIES, StudySpec

MAX_FILE_BYTES = 1 << 20


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
    known = ", ".join(sorted(each.stem for each in STUDIES.glob("*.toml")))
    hint = f"in {STUDIES}/ there are: {known}" if known else "give the path of a study file"
    raise StudyFileError(f"{shortened(study)}: no such study file; {hint}")


def load(path: Path) -> StudySpec:
    """Read and validate a study file. Raises StudyFileError, with one sentence, if it is wrong."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise StudyFileError(f"{path}: larger than 1 MiB, which no study file is")
    except OSError as error:
        raise StudyFileError(f"{path}: cannot be read: {error.strerror}") from error
    return validated(raw, path)


def validated(raw: bytes, path: Path) -> StudySpec:
    """Return the study that the bytes of a file describe. Raises StudyFileError as `load` does."""
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise StudyFileError(
            f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise StudyFileError(f"{path}: not valid TOML: {error}") from error
    except ValueError as error:  # a number has thousands of digits
        raise StudyFileError(f"{path}: not valid TOML: {shortened(str(error))}") from error
    try:
        spec = StudySpec.model_validate(table)
    except ValidationError as error:
        raise StudyFileError(sentence(path, error, StudySpec)) from error
    spec._file = path
    return spec
