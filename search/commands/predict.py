"""Predict the classes of pictures or of rows of features with a study's champion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.source import suffix_of
from search.commands.home import readable
from search.console import table
from search.model.champion import load_champion
from search.model.inputs import ROWS, read_input
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.opening import stored_identity
from search.tracking.store import load_tracker

SHOWN = 20  # the most rows that are printed, or classes that are all named; --json has all
MOST = 5  # how many classes are named of more


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions of a model.

    inputs: a name for each of n rows.
    probabilities: those of each row, (n, C).
    notes: what the user should know about the inputs.
    """

    model: str
    class_names: tuple[str, ...]
    inputs: list[str]
    probabilities: npt.NDArray[np.float64]
    notes: list[str]

    @property
    def classes(self) -> list[str]:
        """The most probable class of each row."""
        return [self.class_names[c] for c in self.probabilities.argmax(axis=1)]

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "model": self.model,
            "predictions": [
                {
                    "input": name,
                    "class": predicted,
                    "probabilities": dict(zip(self.class_names, row.tolist(), strict=True)),
                }
                for name, predicted, row in zip(
                    self.inputs, self.classes, self.probabilities, strict=True
                )
            ],
        }


def predict(
    spec: StudySpec, settings: Settings, paths: Sequence[Path], *, invert: bool = False
) -> Predictions:
    """Predict the classes of files with the champion of a study.

    invert: whether pictures are inverted first.

    Raises LockstepError if there is no champion or a file cannot be read. Nothing is predicted
    unless all files can be read.
    """
    notes: list[str] = []
    identity = stored_identity(spec, settings)
    with readable(settings, notes.append) as places:
        tracker = load_tracker(spec, places, "lockstep predict", identity)
        champion = load_champion(tracker, spec)
    rows, inputs = [], []
    for path in paths:
        X = read_input(path, champion.expected, invert)
        rows.append(X)
        if suffix_of(path) in ROWS:
            inputs += [f"{path} [{row}]" for row in range(len(X))]
            if champion.expected.looks_unscaled(X):
                notes.append(
                    f"{path} has values up to {X.max():g}, but those of the training images go to "
                    f"{champion.expected.white:g}: scale them as in training"
                )
            continue
        inputs.append(str(path))
        if champion.expected.looks_inverted(X[0]):
            notes.append(
                f"{path} looks like a negative of the training images: "
                + ("leave --invert out" if invert else "try --invert")
            )
    probabilities = champion.probabilities(np.concatenate(rows))
    return Predictions(champion.uri, champion.class_names, inputs, probabilities, notes)


def _counted(counts: Counter[str], class_names: Sequence[str]) -> str:
    """Return how often each class was predicted; of many classes, the most frequent ones."""
    if len(class_names) <= SHOWN:
        return ", ".join(f"{name} {counts[name]:,}" for name in class_names)
    each = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(MOST))
    rest = len(counts) - MOST
    return each + (f", and {rest:,} more of {len(class_names):,} classes" if rest > 0 else "")


def summary(found: Predictions) -> str:
    """Return the text for people: the two most probable classes of each of the first rows.

    If there are more rows, it also says how often each class was predicted.
    """
    lines = []
    for name, row in zip(found.inputs[:SHOWN], found.probabilities, strict=False):
        first, second = np.argsort(-row, kind="stable")[:2]
        lines.append(
            [
                name,
                found.class_names[first],
                f"{100 * row[first]:.2f} %",
                found.class_names[second],
                f"{100 * row[second]:.2f} %",
            ]
        )
    text = [table(["input", "class", "probability", "second", ""], lines)]
    if len(found.inputs) > SHOWN:
        counts = Counter(found.classes)
        each = _counted(counts, found.class_names)
        text.append(f"… {len(found.inputs):,} rows in all: {each}  (--json prints every one)")
    text += ["", f"model    {found.model}", *(f"note     {note}" for note in found.notes)]
    return "\n".join(text)
