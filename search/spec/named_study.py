"""The study that a command is told: a file, one of a variant's name, with keys set anew or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.errors import StudyFileError
from search.home import RECORD
from search.spec.fields import is_name
from search.spec.messages import shortened
from search.spec.overrides import Override, combined, overridden
from search.spec.recorded import Variant, read_record
from search.spec.study_file import content, find, study_of
from search.spec.study_spec import STUDIES, StudySpec
from search.spec.toml_text import parsed

SHOWN = 20  # the most variants that a message names


def named_study(
    study: str,
    home: Path,
    overrides: Sequence[str] = (),
    name: str | None = None,
    *,
    to_launch: bool = False,
) -> StudySpec:
    """Return the study that a user names.

    study: the path of a study file, its bare name, or the name of a variant that was launched in
        the home.
    overrides: keys and values as ``--set`` takes them. name: that of a variant, as ``--name``.
    to_launch: whether it is to be launched. Other commands take a study that was launched with
        ``--set`` as it was launched, so that the keys need not be repeated.

    Raises StudyFileError, with one sentence.
    """
    given = tuple(map(Override.parsed, overrides))
    if name is not None:
        given = (*given, Override(("name",), name))
    variant = _named_variant(study, home)
    if variant is not None:
        path, tables = home / study / RECORD, variant.tables
    else:
        path = _found(study, home)
        tables = parsed(content(path), path)
        recorded = None if to_launch or given else _launched_as(tables, home)
        if recorded is not None:
            return study_of(recorded.tables, path, recorded)
    if not given:
        return study_of(tables, path, variant)
    its_name = next((each.value for each in reversed(given) if each.keys == ("name",)), None)
    if variant is None and isinstance(its_name, str):
        _check_free(its_name, path)
    changed = overridden(tables, given)
    return study_of(
        changed,
        path,
        Variant(
            tables=changed,
            folder=path.parent if variant is None else variant.folder,
            overrides=combined(() if variant is None else variant.overrides, given),
            is_named=variant is not None or its_name not in (None, tables.get("name")),
        ),
    )


def known_studies(home: Path) -> list[str]:
    """Return the names by which studies are found: of files in `STUDIES`, and of the variants that
    were launched in a home."""
    files = {file.stem for file in STUDIES.glob("*.toml")}
    return sorted(files | {record.parent.name for record in home.glob(f"*/{RECORD}")})


def _named_variant(study: str, home: Path) -> Variant | None:
    """Return the variant of this name that was launched in the home.

    It is None if there is none, or if a study file is meant.
    """
    if not is_name(study) or _is_file(study):
        return None
    found = read_record(home / study)
    return found if found is not None and found.is_named else None


def _found(study: str, home: Path) -> Path:
    """Return the path of a study file. Raises StudyFileError, which names the variants, too."""
    try:
        return find(study)
    except StudyFileError as error:
        records = sorted(home.glob(f"*/{RECORD}"))[:SHOWN] if study.strip() else []
        variants = [record.parent.name for record in records]
        if not variants:
            raise
        raise StudyFileError(f"{error}; in {home} there are: {', '.join(variants)}") from error


def _is_file(study: str) -> bool:
    """Return whether a study file has this path or bare name."""
    try:
        find(study)
    except StudyFileError:
        return False
    return True


def _launched_as(tables: object, home: Path) -> Variant | None:
    """Return how the study of a file was launched, None if as the file says."""
    name = tables.get("name") if isinstance(tables, dict) else None
    if not isinstance(name, str) or not is_name(name):
        return None
    found = read_record(home / name)
    return None if found is None or found.is_named else found


def _check_free(name: str, path: Path) -> None:
    """Raise StudyFileError if another study file than this one is found by a variant's name."""
    if _is_file(name) and find(name).resolve() != path.resolve():
        raise StudyFileError(
            f"--name {shortened(name)}: {find(name)} is a study file of this name: give the "
            "variant another"
        )
