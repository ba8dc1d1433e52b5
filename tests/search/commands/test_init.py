"""`lockstep init`: what it writes for data of every kind, and where."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import lockstep
from proposed import KINDS, frame, refusal, silent, study, table, written

from search.commands.study_data import load_data
from search.errors import LockstepError
from search.settings import Settings
from search.spec.axes import Range
from search.spec.study_file import load

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "real"
SETS = (
    "banknote", "breast-w", "ecoli", "glass", "ionosphere", "iris", "letter", "mammography",
    "optdigits", "segment", "spambase", "vehicle", "wine",
)  # fmt: skip

# -- what is written ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_real_tables(tmp_path: Path, name: str) -> None:
    file = REAL / f"{name}.csv"
    if not file.exists():
        pytest.skip(f"{file} is not at hand")
    out = tmp_path / f"{name}.toml"
    found = written(file, out)
    spec = load(out)
    assert (spec.name, spec.data.label, spec.data.source) == (name, "class", str(file))
    data = load_data(spec, Settings(), silent)
    facts = found.facts
    assert facts.sizes == tuple(map(len, (data.train, data.validation, data.test)))
    assert facts.rows == min(len(kept) for kept, _ in data.first.folds)
    assert tuple(facts.classes) == data.train.class_names
    assert max(spec.space.batch_size) <= facts.rows // 2
    assert isinstance(spec.space.learning_rate, Range)
    text = out.read_text()
    assert f"# rows     {facts.examples:,}:" in text
    assert all(len(line) <= 100 for line in text.splitlines() if line.startswith("#"))


@pytest.mark.parametrize("name", ["iris", "wine", "breast-cancer", "digits"])
def test_data_sets_that_are_known(tmp_path: Path, name: str) -> None:
    spec = study(name, tmp_path / "out.toml")
    assert spec.data.source == name
    assert spec.name == "out"


def test_pixels_are_said_to_be_pixels(tmp_path: Path) -> None:
    found = written("digits", tmp_path / "digits.toml")
    assert found.facts.image_shape == (8, 8)
    assert found.facts.scale == "none"
    assert "images of 8 × 8 pixels: pixels from 0 to 1" in (tmp_path / "digits.toml").read_text()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables_of_each_kind(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"my{suffix}"
    if suffix == ".parquet":
        frame(kind=KINDS).to_parquet(path)
    else:
        table(tmp_path, path.name, kind=KINDS)
    spec = study(path, tmp_path / "my.toml")
    assert spec.data.label == "kind"
    assert spec.data.source == path.name, "as seen from the study file"
    assert spec.data.folds == 5


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (90, 4, 3), dtype=np.uint8)
    np.savez(path, X=images, y=np.arange(90) % 3, X_test=images[:9], y_test=np.arange(9) % 3)
    found = written(path, tmp_path / "x.toml")
    assert found.facts.own_parts == ("test",)
    assert found.facts.image_shape == (4, 3)
    assert found.facts.examples == 99
    load_data(load(tmp_path / "x.toml"), Settings(), silent)


@pytest.mark.parametrize(("X", "y"), [("X", "y"), ("X_train", "y_train"), ("deep", "labels")])
def test_npy_with_its_labels_beside_it(tmp_path: Path, X: str, y: str) -> None:
    np.save(tmp_path / f"{X}.npy", np.random.default_rng(0).normal(size=(60, 5)))
    np.save(tmp_path / f"{y}.npy", np.arange(60) % 2)
    spec = study(tmp_path / f"{X}.npy", tmp_path / "s.toml")
    assert (spec.data.source, spec.data.labels) == (f"{X}.npy", f"{y}.npy")


def test_npy_with_labels_that_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(60, 5)))
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "b.npy", np.arange(60) % 2)
    labels = tmp_path / "other" / "b.npy"
    spec = study(tmp_path / "a.npy", tmp_path / "s.toml", labels=labels)
    assert spec.data.labels == "other/b.npy"


def test_npy_with_a_split_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "layer-08.npy", np.random.default_rng(0).normal(size=(60, 5)))
    np.save(tmp_path / "labels.npy", np.arange(60) % 3)
    np.save(tmp_path / "split.npy", np.array(["train"] * 48 + ["test"] * 12))
    found = written(tmp_path / "layer-08.npy", tmp_path / "layer-08.toml")
    assert found.facts.own_parts == ("test",)
    assert found.facts.sizes == (48, 48, 12)
    spec = load(tmp_path / "layer-08.toml")
    assert (spec.data.labels, spec.data.split) == ("labels.npy", "split.npy")
    load_data(spec, Settings(), silent)


def test_a_validation_part_of_its_own(tmp_path: Path) -> None:
    parts = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    spec = study(table(tmp_path, kind=KINDS, Split=parts), tmp_path / "my.toml", label="kind")
    assert spec.data.split == "Split"
    assert spec.data.folds is None
    assert "validation_fraction" not in (tmp_path / "my.toml").read_text()


def test_many_rows_have_one_part_held_out(tmp_path: Path) -> None:
    n = 20_001
    path = tmp_path / "my.csv"
    frame(n, kind=np.arange(n) % 3).to_csv(path, index=False)
    spec = study(path, tmp_path / "my.toml")
    assert spec.data.folds is None
    assert spec.data.validation_fraction == 0.2


def test_folds_that_the_smallest_class_can_fill(tmp_path: Path) -> None:
    kinds = ["cat"] * 55 + ["dog"] * 5
    assert study(table(tmp_path, kind=kinds), tmp_path / "my.toml").data.folds == 4


def test_classes_that_are_too_rare_are_left_out_and_said(tmp_path: Path) -> None:
    kinds = ["cat"] * 30 + ["dog"] * 26 + ["gnu"] * 4
    spec = study(table(tmp_path, kind=kinds), tmp_path / "my.toml")
    assert spec.data.classes == ("cat", "dog")
    assert "classes of fewer than 5 examples: gnu (4)" in (tmp_path / "my.toml").read_text()


def test_a_rare_class_brings_up_class_weights(tmp_path: Path) -> None:
    kinds = ["cat"] * 55 + ["dog"] * 5
    written(table(tmp_path, kind=kinds), tmp_path / "rare.toml")
    assert '# class_weight = "balanced"' in (tmp_path / "rare.toml").read_text()
    written(table(tmp_path, kind=KINDS), tmp_path / "even.toml")
    assert "class_weight" not in (tmp_path / "even.toml").read_text()


# -- names and places --------------------------------------------------------------------------


def test_paths_are_as_seen_from_the_study_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "studies").mkdir()
    table(tmp_path / "data", kind=KINDS)
    output = Path("studies", "other.toml")
    finished = lockstep("init", "data/my.csv", "--output", str(output), cwd=tmp_path)
    assert finished.code == 0, finished.err
    spec = load(tmp_path / output)
    assert (spec.name, spec.data.source) == ("other", "../data/my.csv")


def test_an_existing_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = table(tmp_path, kind=KINDS)
    (tmp_path / "my.toml").write_text("mine")
    assert "exists already" in refusal(path, tmp_path / "my.toml")
    assert (tmp_path / "my.toml").read_text() == "mine"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = table(tmp_path, kind=KINDS)
    with pytest.raises(LockstepError, match="there is no folder"):
        written(path, tmp_path / "no" / "my.toml")


# -- the command -------------------------------------------------------------------------------


def test_the_command(tmp_path: Path) -> None:
    table(tmp_path, "My Data.csv", kind=KINDS)
    finished = lockstep("init", "My Data.csv", "--json", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.json["file"] == "my-data.toml"
    assert finished.json["label"] == "kind"
    assert finished.json["classes"] == {"cat": 20, "cow": 20, "dog": 20}
    assert "lockstep launch my-data.toml" in finished.err
    assert json.loads(finished.out.splitlines()[-1]) == finished.json
    again = lockstep("init", "My Data.csv", cwd=tmp_path)
    assert (again.code, again.out) == (2, "")
    assert len(again.err.splitlines()) == 1


def test_three_commands_from_a_table_to_a_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = np.where(X[:, 0] + 0.1 * rng.normal(size=60) > 0, "yes", "no")
    pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=y).to_csv(tmp_path / "my.csv", index=False)
    assert lockstep("init", "my.csv", cwd=tmp_path).code == 0
    launched = lockstep("launch", "my.toml", cwd=tmp_path)
    assert launched.code == 0, launched.err
    retrained = lockstep("retrain", "my.toml", "--json", "--seeds", "0", cwd=tmp_path)
    assert retrained.code == 0, retrained.err
    assert retrained.json["test_accuracy"] > 0.8
    assert retrained.json["baseline"]["kind"] == "lbfgs"


def test_a_baseline_that_would_take_hours_is_only_offered(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(12_000) % 600
    np.savez(tmp_path / "wide.npz", X=rng.random((12_000, 400), dtype=np.float32), y=y)
    finished = lockstep("init", "wide.npz", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert "classes  600: 20 examples of each; always guessing" in finished.out
    text = (tmp_path / "wide.toml").read_text()
    assert "baseline" not in tomllib.loads(text)
    offered = text.replace("# [baseline]", "[baseline]").replace("# solver", "solver")
    assert tomllib.loads(offered)["baseline"] == {"solver": "lbfgs"}
