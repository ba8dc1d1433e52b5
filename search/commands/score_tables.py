"""A classifier's scores on the test set, as JSON, as metrics, and as tables for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from core.statistics.classification import BINS, ClassScores, Estimate, Scores
from search.wording import counted

MAX_CLASSES = 20  # the most classes that are all shown
WORST = 10  # how many are shown of more
_NAME_LENGTH = 24
_MISSING = "–"
_BY_CLASS = "by_class"  # MLflow shows these metrics together, apart from the others

# How a score is called, and whether it is shown in per cent.
_SHOWN = {
    "balanced_accuracy": ("balanced accuracy", True),
    "macro_f1": ("macro F1", False),
    "auroc": ("AUROC", False),
    "calibration_error": ("calibration error", False),
    "log_loss": ("log-loss", False),
    "top_5_accuracy": ("top-5 accuracy", True),
}


class Rows(NamedTuple):
    """A table for people: headings, and rows of as many cells."""

    headings: list[str]
    rows: list[list[str]]

    def markdown(self) -> list[str]:
        """Return the lines of the table in Markdown, numbers to the right."""

        def line(cells: Sequence[str]) -> str:
            return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

        rule = f"|---|{'---:|' * (len(self.headings) - 1)}"
        return [line(self.headings), rule, *map(line, self.rows)]


def scores_json(scores: Scores) -> dict[str, Any]:
    """Return the scores of all classes together, as plain JSON values."""
    return {name: _json(found) for name, found in scores.by_name().items()}


def classes_json(scores: Scores) -> list[dict[str, Any]]:
    """Return the scores of each class, as plain JSON values."""
    return [
        {
            "class": each.name,
            "support": each.support,
            "predicted": each.predicted,
            "precision": _json(each.precision),
            "recall": _json(each.recall),
        }
        for each in scores.classes
    ]


def _json(found: Estimate | None) -> dict[str, Any] | None:
    """Return an estimate as plain JSON values."""
    if found is None:
        return None
    return {"value": found.value, "interval": found.interval and list(found.interval)}


def score_metrics(prefix: str, scores: Scores) -> dict[str, float]:
    """Return the scores of all classes together as metrics, whose names begin with ``prefix``."""
    return _metrics({f"{prefix}{name}": found for name, found in scores.by_name().items()})


def class_metrics(scores: Scores) -> dict[str, float]:
    """Return precision and recall of each class as metrics; none of more than `MAX_CLASSES`.

    A class whose name MLflow does not take is called by its place.
    """
    if len(scores.classes) > MAX_CLASSES:
        return {}
    found: dict[str, Estimate | None] = {}
    for place, each in enumerate(scores.classes):
        plain = re.fullmatch(r"[\w.-]{1,40}", each.name, re.ASCII)
        name = each.name if plain else f"class_{place}"
        found |= {
            f"{_BY_CLASS}/precision_{name}": each.precision,
            f"{_BY_CLASS}/recall_{name}": each.recall,
        }
    return _metrics(found)


def _metrics(estimates: Mapping[str, Estimate | None]) -> dict[str, float]:
    """Return the values and the ends of the intervals that there are, by name."""
    found: dict[str, float] = {}
    for name, estimate in estimates.items():
        if estimate is not None:
            found[name] = estimate.value
            if estimate.interval is not None:
                low, high = estimate.interval
                found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def score_rows(models: Mapping[str, Scores]) -> Rows:
    """Return the table of the scores of all classes together: two columns for each model."""
    found = [scores.by_name() for scores in models.values()]
    headings = ["", *(heading for name in models for heading in (name, "95 %"))]
    rows = [
        [label, *(cell for scores in found for cell in _cells(scores[name], percent))]
        for name, (label, percent) in _SHOWN.items()
        if name in found[0]
    ]
    return Rows(headings, rows)


def class_rows(name: str, scores: Scores) -> Rows:
    """Return the table of the classes, of more than `MAX_CLASSES` those with the lowest recall.

    name: what the classifier is called.
    """
    shown: Sequence[ClassScores] = scores.classes
    if len(shown) > MAX_CLASSES:
        tested = (each for each in shown if each.recall is not None)
        shown = sorted(tested, key=lambda each: each.recall or 0)[:WORST]
    rows = [
        [
            _printable(each.name),
            f"{each.support:,}",
            *_cells(each.precision, True),
            *_cells(each.recall, True),
        ]
        for each in shown
    ]
    return Rows([f"{name}, class", "examples", "precision", "95 %", "recall", "95 %"], rows)


def score_remarks(models: Mapping[str, Scores]) -> list[str]:
    """Return sentences on what cannot be seen in the tables; the classes are those of the first."""
    lines = []
    first = next(iter(models.values()))
    if absent := first.absent:
        some = ", ".join(map(_printable, absent[:5])) + " …" * (len(absent) > 5)
        have = "has" if len(absent) == 1 else "have"
        lines.append(
            f"{counted(len(absent), 'class', 'es')} of the data {have} no test example ({some}): "
            "the AUROC is not defined, and the other scores are those of the other classes"
        )
    fixed = {
        _SHOWN[name][0]
        for scores in models.values()
        for name, found in scores.by_name().items()
        if found is not None and found.interval is None
    }
    if fixed:
        lines.append(
            f"no interval of {' and '.join(sorted(fixed))} can be had from test examples that do "
            "not vary in it"
        )
    if (C := len(first.classes)) > MAX_CLASSES:
        lines.append(f"of {C:,} classes, the {WORST} with the lowest recall are shown")
    return lines


def explanation() -> str:
    """Return which intervals these are, in Markdown."""
    return (
        "95 % intervals: precision, recall and top-5 accuracy by Wilson, balanced accuracy by "
        "Price and Bonett, AUROC (each class against the rest, mean over classes) by DeLong, the "
        "others by a bootstrap that keeps the classes' sizes. Definitions are scikit-learn's; the "
        f"calibration error has {BINS} bins of equal width."
    )


def _cells(found: Estimate | None, percent: bool) -> list[str]:
    """Return an estimate as two cells: its value, and its interval."""
    if found is None:
        return [_MISSING, _MISSING]
    interval = found.interval
    if percent:
        ends = (
            _MISSING if interval is None else "{:.2f}–{:.2f} %".format(*(100 * x for x in interval))
        )
        return [f"{100 * found.value:.2f} %", ends]
    return [
        f"{found.value:.4f}",
        _MISSING if interval is None else "{:.4f}–{:.4f}".format(*interval),
    ]


def _printable(name: str) -> str:
    """Return a class's name as it can be shown in a table: one short line."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name)
    return plain if len(plain) <= _NAME_LENGTH else f"{plain[: _NAME_LENGTH - 1]}…"
