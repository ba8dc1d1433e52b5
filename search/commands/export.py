"""Export a study: its trials as a table, and a page with all that it found that can be mailed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from search.commands.compare import data_as_launched, trial_row
from search.commands.export_page import Found, page
from search.commands.home import readable
from search.commands.session import results_of
from search.console import Console
from search.errors import LockstepError, NothingToShowError
from search.findings.evaluation import Evaluation
from search.findings.sentences import none_completed
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.opening import load_study
from search.study.search_study import SearchStudy
from search.tracking.store import load_tracker

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. trials: how many rows the tables have."""

    study: str
    trials: int
    files: list[Path]

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "study": self.study,
            "trials": self.trials,
            "files": [str(file) for file in self.files],
        }


def export(
    spec: StudySpec, settings: Settings, console: Console, files: Sequence[Path] = ()
) -> Exported:
    """Write the trials of a study to these files, in the format that their suffix names.

    files: .csv, .parquet or .html; without any, one of each in the study's folder in the home.

    Raises NothingToShowError if no trial has finished, LockstepError if a file of the user's is
    there already or its format is not known, and OSError.
    """
    targets = list(files) or [
        settings.folder(spec.name) / f"{spec.name}{suffix}" for suffix in _WRITERS
    ]
    for target in targets:
        _check(target, own=not files)
    study = load_study(spec, settings)
    finished = study.finished()
    if not finished:
        raise NothingToShowError(none_completed(spec, finished))
    found, rows = _found(study, settings, console)
    written: dict[Path, bytes] = {
        target: _WRITERS[target.suffix.lower()](found, rows) for target in targets
    }
    for target, content in written.items():
        _write(target, content)
    return Exported(spec.name, len(rows), targets)


def _found(study: SearchStudy, settings: Settings, console: Console) -> tuple[Found, list[Row]]:
    """Return what the study found, and a row for each trial, the best first."""
    spec, finished = study.spec, study.finished()
    data = data_as_launched(study, settings, console)
    with readable(settings, lambda sentence: console.say(f"note     {sentence}\n")) as places:
        tracker = load_tracker(spec, places, "lockstep export", study.identity())
        evaluation = Evaluation.of(spec, finished, results_of(tracker), data)
        found = Found(evaluation, study.finals(), study.test_evaluations()).drawn()
    standings = evaluation.choice.standings if evaluation.choice else ()
    scored = {each.trial.number: each.as_json() for each in standings}
    order = {trial.number: rank for rank, trial in enumerate(evaluation.ranking, start=1)}
    ordered = sorted(finished, key=lambda trial: order.get(trial.number, len(finished) + 1))
    rows = [
        {"rank": order.get(trial.number)} | trial_row(trial, spec) | scored.get(trial.number, {})
        for trial in ordered
    ]
    return found, rows


def _table(rows: Sequence[Row]) -> Any:
    """Return the rows as a data frame, whose columns keep their kind where values are missing."""
    import pandas as pd

    return pd.DataFrame(list(rows)).convert_dtypes()


def _csv(found: Found, rows: Sequence[Row]) -> bytes:
    """Return the rows as CSV."""
    return str(_table(rows).to_csv(index=False)).encode()


def _parquet(found: Found, rows: Sequence[Row]) -> bytes:
    """Return the rows as Parquet."""
    buffer = BytesIO()
    _table(rows).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _html(found: Found, rows: Sequence[Row]) -> bytes:
    """Return the page."""
    return page(found, rows).encode()


_WRITERS: dict[str, Callable[[Found, Sequence[Row]], bytes]] = {
    ".html": _html,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _check(target: Path, *, own: bool) -> None:
    """Raise LockstepError if a file cannot be written there.

    own: whether it is Lockstep's own file in the home, which is written anew.
    """
    if target.suffix.lower() not in _WRITERS:
        raise LockstepError(
            f"--output {target}: the suffix names the format: give {', '.join(_WRITERS)}"
        )
    if not own and os.path.lexists(target):
        raise LockstepError(
            f"--output {target}: exists already, and is left as it is: name another"
        )
    if not own and not target.absolute().parent.is_dir():
        raise LockstepError(f"--output {target}: there is no folder {target.parent}: make it first")


def _write(target: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises OSError."""
    unfinished = target.with_name(f".{target.name}.new")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def summary(exported: Exported) -> str:
    """Return the text for people: which files were written."""
    return "\n".join(f"wrote    {file}" for file in exported.files)
