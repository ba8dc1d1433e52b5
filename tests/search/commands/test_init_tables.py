"""What `lockstep init` makes of the columns of a table, and the data that it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from proposed import KINDS, refusal, study, table, written

# -- columns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("Class", "end"), "Class"),
        (("TARGET", "end"), "TARGET"),
        (("y", "end"), "y"),
        (("target", "label"), "label"),
        (("kind", "end"), "end"),
    ],
)
def test_the_label_that_is_chosen(tmp_path: Path, names: tuple[str, str], chosen: str) -> None:
    columns = dict.fromkeys(names, KINDS)
    found = written(table(tmp_path, **columns), tmp_path / "my.toml")
    assert found.facts.given.source.label == chosen
    why = "the last one" if chosen == "end" else "by its name"
    assert why in (tmp_path / "my.toml").read_text()


def test_the_label_that_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, kind=KINDS, label=[1, 2] * 30)
    assert study(path, tmp_path / "my.toml", label="kind").data.label == "kind"


def test_columns_of_texts_and_columns_that_say_nothing(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        id=range(60),
        colour=["red", "blue"] * 30,
        who=[f"person {n}" for n in range(60)],
        empty=[None] * 60,
        kind=KINDS,
    )
    spec = study(path, tmp_path / "my.toml")
    assert spec.data.categorical == "one-hot"
    assert spec.data.ignore == ("id", "who", "empty")
    text = (tmp_path / "my.toml").read_text()
    assert "colour (2)" in text
    assert "column who, which has 60 different texts, too many for one-hot" in text


@pytest.mark.parametrize("odd", ['q"uote', "back\\slash", "ünï", "#hash", "a.b = c", "''"])
def test_odd_names(tmp_path: Path, odd: str) -> None:
    path = table(tmp_path, **{odd: KINDS})
    assert study(path, tmp_path / "my.toml").data.label == odd


@pytest.mark.parametrize("odd", ["del\x7f", "a\u2028b"])
def test_names_that_cannot_be_printed(tmp_path: Path, odd: str) -> None:
    assert "names must be printable" in refusal(
        table(tmp_path, **{odd: KINDS}), tmp_path / "a.toml"
    )


# -- mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "options", "told"),
    [
        ({"kind": ["cat"] * 60}, {}, "At least two classes"),
        ({"price": np.linspace(0, 1, 60)}, {}, "regression"),
        ({"price": range(60)}, {}, "regression"),
        ({"kind": [f"{n}" for n in range(15)] * 4}, {}, "fewer than two classes of 5 examples"),
        ({"kind": [*KINDS[:-1], None]}, {}, "no value in 1 of 60 rows"),
        ({"age": [*range(59), None], "kind": KINDS}, {}, "1 missing values (1 in age"),
        ({"age": [*range(59), "old"], "kind": KINDS}, {}, "holds numbers, but 'old' in row 60"),
        ({"kind": KINDS}, {"label": "sort"}, "--label sort: "),
        ({"kind": KINDS}, {"labels": Path("y.npy")}, "only .npy files need it"),
    ],
)
def test_mistakes_in_tables(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    path = table(tmp_path, **columns)
    assert told in refusal(path, tmp_path / "my.toml", **options)


def test_mistakes_in_files(tmp_path: Path) -> None:
    out = tmp_path / "out.toml"
    (tmp_path / "one.csv").write_text("class\n1\n2\n")
    np.save(tmp_path / "X.npy", np.zeros((9, 2)))
    np.savez(tmp_path / "a.npz", X=np.zeros((9, 2)))
    assert "No such file" in refusal(tmp_path / "no.csv", out)
    assert "No such file" in refusal(tmp_path / "no.npz", out)
    assert "did you mean iris?" in refusal("irsi", out)
    assert "one column only" in refusal(tmp_path / "one.csv", out)
    assert "name their file with --labels" in refusal(tmp_path / "X.npy", out)
    assert "lacks y" in refusal(tmp_path / "a.npz", out)
    assert "only tables have columns" in refusal(tmp_path / "a.npz", out, label="y")
    assert "ends in .toml" in refusal("iris", tmp_path / "iris.csv")
