"""Scores of a classifier, as they are shown, printed as JSON and logged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.statistics.classification import Scores, classification_scores
from search.commands.score_tables import (
    class_metrics,
    class_rows,
    classes_json,
    score_metrics,
    score_remarks,
    score_rows,
    scores_json,
)


def made_up(C: int, M: int, names: list[str] | None = None, tested: int | None = None) -> Scores:
    """The scores of a classifier that is often right; tested: how many classes have examples."""
    rng = np.random.default_rng(C)
    y = np.arange(M) % (tested or C)
    Z = rng.normal(size=(M, C))
    Z[np.arange(M), y] += 2
    P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    return classification_scores(
        P, P.argmax(axis=1), y, names or [f"c{c}" for c in range(C)], seed=0
    )


def test_all_scores_are_in_all_forms() -> None:
    scores = made_up(12, 240)
    names = [
        "balanced_accuracy", "macro_f1", "auroc", "calibration_error", "log_loss", "top_5_accuracy",
    ]  # fmt: skip
    plain = json.loads(json.dumps(scores_json(scores), allow_nan=False))
    assert list(plain) == names
    metrics = score_metrics("test_", scores)
    for name in names:
        low, high = plain[name]["interval"]
        assert metrics[f"test_{name}"] == plain[name]["value"]
        assert (metrics[f"test_{name}_low"], metrics[f"test_{name}_high"]) == (low, high)
    headings, rows = score_rows({"trial #3": scores, "baseline": scores})
    assert headings == ["", "trial #3", "95 %", "baseline", "95 %"]
    assert [row[0] for row in rows] == [
        "balanced accuracy", "macro F1", "AUROC", "calibration error", "log-loss", "top-5 accuracy",
    ]  # fmt: skip
    assert rows[0][1] == f"{100 * scores.balanced_accuracy.value:.2f} %"
    assert all(row[1:3] == row[3:5] for row in rows)


def test_few_classes_are_all_shown_and_logged() -> None:
    scores = made_up(3, 60)
    headings, rows = class_rows("trial #3", scores)
    assert headings[0] == "trial #3, class"
    assert [row[:2] for row in rows] == [["c0", "20"], ["c1", "20"], ["c2", "20"]]
    recall = scores.classes[1].recall
    assert recall is not None
    assert class_metrics(scores)["by_class/recall_c1"] == recall.value
    assert [each["class"] for each in classes_json(scores)] == ["c0", "c1", "c2"]


def test_of_many_classes_the_worst_are_shown_and_none_is_logged() -> None:
    scores = made_up(30, 300)
    _, rows = class_rows("trial #3", scores)
    recalls = [float(row[4].split()[0]) for row in rows]
    assert len(rows) == 10
    assert recalls == sorted(recalls)
    every = sorted(100 * each.recall.value for each in scores.classes if each.recall)
    assert recalls == pytest.approx(every[:10], abs=0.01)
    assert class_metrics(scores) == {}
    assert len(classes_json(scores)) == 30
    assert score_remarks({"trial #3": scores}) == [
        "of 30 classes, the 10 with the lowest recall are shown"
    ]


def test_classes_without_test_examples_are_told() -> None:
    scores = made_up(4, 60, tested=2)
    (sentence,) = score_remarks({"trial #3": scores})
    assert (
        "2 classes of the data have no test example (c2, c3): the AUROC is not defined" in sentence
    )
    assert scores_json(scores)["auroc"] is None
    assert "test_auroc" not in score_metrics("test_", scores)
    rows = {row[0]: row[1:] for row in score_rows({"trial #3": scores}).rows}
    assert rows["AUROC"] == ["–", "–"]
    assert classes_json(scores)[3]["recall"] is None


def test_scores_without_an_interval_are_told() -> None:
    y = np.repeat([0, 1], 9)
    P = np.where(np.eye(2)[y] > 0, 0.9, 0.1)
    scores = classification_scores(P, y, y, ["a", "b"], seed=0)
    (sentence,) = score_remarks({"trial #3": made_up(2, 60), "baseline": scores})
    assert sentence == (
        "no interval of AUROC and macro F1 can be had from test examples that do not vary in it"
    )
    assert scores_json(scores)["auroc"] == {"value": 1.0, "interval": None}


def test_names_of_classes_break_no_table() -> None:
    names = ["a|b", "x" * 99, "line\nbreak", "\x1b[2J"]
    scores = made_up(4, 60, names)
    rows = class_rows("trial #3", scores)
    shown = [row[0] for row in rows.rows]
    assert shown == ["a|b", "x" * 23 + "…", "line?break", "?[2J"]
    lines = rows.markdown()
    assert len(lines) == 2 + 4
    assert all("\n" not in line for line in lines)
    assert lines[2].startswith("| a\\|b | 15 |")
    assert "by_class/recall_class_0" in class_metrics(scores)
