"""What a study is, before it is in a study file: data and options in Python, or a file already."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lockstep.given import Data, Files, files_of, stand_in_for
from lockstep.options import tables_of
from search.errors import LockstepError
from search.settings import Settings

if TYPE_CHECKING:
    from search.console import Console
    from search.spec.study_spec import StudySpec

_AXES = ("learning_rate", "weight_decay", "batch_size")


@dataclass(frozen=True, slots=True)
class StudyText:
    """A study file: what it says, its data in the study's folder, and its text if it is of Python,
    and may still have to be written."""

    spec: StudySpec
    files: Files
    text: str | None


class Definition(Protocol):
    """What defines a study."""

    @property
    def name(self) -> str:
        """The study's name."""

    def files(self, folder: Path) -> Files:
        """Return the files of its data that are to be in the study's folder. Raises
        LockstepError."""

    def study(self, files: Files, settings: Settings, console: Console) -> StudyText:
        """Return its study file; its files are written already. Raises LockstepError."""

    def labels(self) -> Any:
        """Return the labels as they are given, (N,), or None if they are in files."""

    def told(self, message: str, folder: Path) -> str:
        """Return what is said of its files in the terms in which it was given."""


@dataclass(frozen=True, slots=True)
class InFile:
    """The definition of a study in a study file."""

    spec: StudySpec

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    def files(self, folder: Path) -> Files:
        """Return no files."""
        return Files({})

    def study(self, files: Files, settings: Settings, console: Console) -> StudyText:
        """Return the study file as it was read."""
        return StudyText(self.spec, files, None)

    def labels(self) -> Any:
        """Return None."""
        return None

    def told(self, message: str, folder: Path) -> str:
        """Return the message as it is."""
        return message


@dataclass(frozen=True, slots=True)
class InPython:
    """The definition of a study by data and options.

    options: those of `Study`, by name; None for those that are not given.
    """

    name: str
    data: Data
    options: Mapping[str, Any]

    def check(self) -> None:
        """Raise LockstepError if an option is not valid, as far as it can be told without data."""
        tables = tables_of(self.options)
        stand_in: dict[str, Any] = {axis: [1] for axis in _AXES}
        tables["space"] = stand_in | tables.get("space", {})
        source = stand_in_for(self.data)
        self._valid({**tables, "data": source | tables.get("data", {})}, Files(source), Path())

    def files(self, folder: Path) -> Files:
        """Return the files of the arrays or tables."""
        return files_of(self.data, folder)

    def study(self, files: Files, settings: Settings, console: Console) -> StudyText:
        """Return the study file of these options; what is not given fits the data."""
        folder = settings.folder(self.name)
        tables, comments = tables_of(self.options), list[str]()
        tables["data"] = files.keys | tables.get("data", {})
        if any(axis not in tables.get("space", {}) for axis in _AXES):
            proposal, comments = self._proposal(files, folder, settings, console)
            tables = _merged(proposal, tables)
        return self._valid(tables, files, folder, comments)

    def labels(self) -> Any:
        """Return the labels as they are given, (N,), or None if they are in files."""
        from lockstep.tables import is_frame

        if isinstance(self.data.y, str | Path):
            return self.data.X[self.data.y] if is_frame(self.data.X) else None
        return self.data.y

    def told(self, message: str, folder: Path) -> str:
        """Return a message without the names of files that the user did not give."""
        from lockstep.given import OWN_DATA
        from lockstep.written import STUDY_FILE

        file = re.escape(str(folder / STUDY_FILE))
        message = re.sub(f"^{file}: (\\[data\\]: )?", f"study {self.name}: ", message)
        data = f"{re.escape(str(folder))}{re.escape(os.sep)}{OWN_DATA}"
        message = re.sub(f" in {data}", "", message)
        return re.sub(data, "X", message)

    def _valid(
        self, tables: dict[str, Any], files: Files, folder: Path, comments: Sequence[str] = ()
    ) -> StudyText:
        """Return the study file with these tables. Raises StudyFileError if they are not valid."""
        from lockstep.written import STUDY_FILE, text_of
        from search.spec.study_file import made_up

        order = ("description", "data", "model", "space", "search", "baseline")
        ordered = {key: tables[key] for key in order if key in tables}
        try:
            text = text_of({"name": self.name} | ordered, comments)
        except TypeError as error:  # TOML has no such value
            raise LockstepError(f"study {self.name}: {error}") from error
        spec = made_up(text, folder / STUDY_FILE, f"study {self.name}")
        return StudyText(spec, files, text)

    def _proposal(
        self, files: Files, folder: Path, settings: Settings, console: Console
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the tables that `lockstep init` would write for this data, and its comments."""
        from core.datasets.errors import DataError
        from search.proposal.facts import examine
        from search.proposal.given import given_source
        from search.proposal.ranges import ranges_for
        from search.proposal.study_text import study_text

        if "features" in files.keys:
            raise LockstepError(
                f"study {self.name}: learning_rate, weight_decay and batch_size are needed where X "
                "has several sets of features"
            )
        source, labels = files.keys["source"], files.keys.get("labels")
        beside = folder / source
        path = str(beside) if beside.is_file() else source
        try:
            given = given_source(
                path, files.keys.get("label"), None if labels is None else folder / labels
            )
            facts = examine(given, settings.data_dir, console.say)
        except DataError as error:
            raise LockstepError(str(error)) from error
        text = study_text(self.name, facts, ranges_for(facts.rows, facts.curvature), folder)
        lines = text.splitlines()
        told = lines[1 : lines.index("")]
        comments = [line for line in told if not line.startswith("# labels ")]  # they are given
        return tomllib.loads(text), comments


def _merged(proposal: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the proposed tables with what is given in the place of what is proposed."""
    data = given.get("data", {})
    for key, other in (("folds", "validation_fraction"), ("validation_fraction", "folds")):
        if key in data:
            proposal["data"].pop(other, None)
    merged = dict(proposal)
    for name, value in given.items():
        whole = not isinstance(value, dict) or name == "baseline"
        merged[name] = value if whole else proposal.get(name, {}) | value
    return merged
