"""The command `lockstep init`: look at some data, and write a study file that fits it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.datasets.dataset import DataError
from search.console import Console
from search.errors import LockstepError
from search.proposal.facts import Facts, examine
from search.proposal.given import given_source
from search.proposal.ranges import Ranges, ranges_for
from search.proposal.study_text import found, study_name, study_text, summary_of
from search.spec.study_file import validated


@dataclass(frozen=True, slots=True)
class Written:
    """A study file that was written, and why it is as it is."""

    file: Path
    study: str
    facts: Facts
    ranges: Ranges

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        facts, ranges, source = self.facts, self.ranges, self.facts.given.source
        train, validation, test = facts.sizes
        return {
            "file": str(self.file),
            "study": self.study,
            "source": source.name,
            "label": source.label,
            "labels": source.labels,
            "categorical": source.categorical,
            "ignored": facts.given.ignored,
            "examples": facts.examples,
            "features": facts.features,
            "image_shape": None if facts.image_shape is None else list(facts.image_shape),
            "classes": facts.classes,
            "left_out": facts.left_out,
            "train": train,
            "validation": validation,
            "test": test,
            "folds": facts.folds,
            "scale": facts.scale.value,
            "curvature": facts.curvature,
            "epochs": ranges.epochs,
            "batch_size": ranges.batch_size,
            "trials": ranges.trials,
            "remarks": list(facts.remarks),
        }


def init(
    file: str,
    console: Console,
    *,
    label: str | None = None,
    labels: Path | None = None,
    output: Path | None = None,
    data_dir: Path | None = None,
) -> Written:
    """Write a study file for a data file, or for a data set that is known by its name.

    label, labels: see `given_source`. output: the study file; by default it is named like the data
    and lies in the present folder.

    Raises LockstepError if the study file exists, or if the data cannot be used.
    """
    target = Path(f"{study_name(file)}.toml") if output is None else output
    if target.suffix != ".toml":
        raise LockstepError(f"--output {target}: a study file ends in .toml")
    if not target.parent.is_dir():
        raise LockstepError(f"{target}: there is no folder {target.parent}: make it first")
    if os.path.lexists(target):  # a link that leads nowhere, too
        raise LockstepError(
            f"{target}: exists already, and is left as it is: name another file with --output"
        )
    name = study_name(str(target))
    try:
        facts = examine(given_source(file, label, labels), data_dir, console.say)
    except DataError as error:
        raise LockstepError(str(error)) from error
    ranges = ranges_for(facts.rows, facts.curvature)
    text = study_text(name, facts, ranges, target.parent)
    raw = text.encode("utf-8", errors="surrogatepass")
    validated(raw, target)  # before there is a file
    _write(target, raw)
    return Written(target, name, facts, ranges)


def _write(target: Path, raw: bytes) -> None:
    """Write a new file, whole or not at all. Raises LockstepError if it cannot be written."""
    try:
        with target.open("xb") as stream:
            try:
                stream.write(raw)
                stream.flush()
            except OSError:
                target.unlink()
                raise
    except OSError as error:
        raise LockstepError(f"{target}: cannot be written: {error.strerror}") from error


def summary(written: Written) -> str:
    """Return the text for people: what was found, and what to do next."""
    file = written.file
    lines = [f"{written.facts.given.source.name}"]
    lines += [f"  {heading:8} {sentence}" for heading, sentence in found(written.facts)]
    lines += [
        "",
        f"wrote    {file}: {summary_of(written.ranges, written.facts)}; read it, and change what "
        "you like",
        f"next     lockstep launch {file}    train every configuration",
        f"         lockstep retrain {file}   train the best again, score it on the test set",
    ]
    return "\n".join(lines)
