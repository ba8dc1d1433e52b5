"""A study of hundreds of classes with long names: all that grows with them is bounded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from blank_figures import PAINTED
from command import Finished, lockstep
from sklearn.metrics import top_k_accuracy_score
from small_study import small_spec, small_study, write_study
from stored import optuna_trials, runs

from core.trainer.softmax import logits
from search.commands.study_data import load_data
from search.settings import Settings

C, D, EACH = 300, 60, 8
OPTIONS = {
    "source": "many.npz", "classes": None, "penalty": "squared", "epochs": 4, "bias": True,
    "batch_size": [32], "keep_weights": 3, "learning_rate": [0.1, 0.5, 2.0],
    "weight_decay": [0.0, 0.25],
}  # fmt: skip

pytestmark = pytest.mark.xdist_group("many_classes")  # so that its study is launched once


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the launched study."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(C), EACH)
    X = rng.normal(size=(C, D))[y] + 1.5 * rng.normal(size=(len(y), D))
    names = np.array([f"n{c:08d}, a name that is rather long, {'and more ' * 8}" for c in range(C)])
    np.savez(folder / "many.npz", X=X.astype(np.float32), y=names[y])
    write_study(folder, small_study(**OPTIONS))  # type: ignore[arg-type]
    finished = run(folder, "launch", "study.toml")
    (folder / "launch.txt").write_text(finished.out)
    return folder


def run(folder: Path, *arguments: str) -> Finished:
    finished = lockstep(*arguments, cwd=folder, variables=PAINTED)
    assert finished.code == 0, finished.err
    return finished


@pytest.fixture(scope="module")
def retrained(folder: Path) -> Finished:
    return run(folder, "retrain", "study.toml", "--seeds", "0", "--json")


def test_compare_has_the_top_5_accuracy_of_scikit_learn(folder: Path) -> None:
    spec = small_spec(**OPTIONS)  # type: ignore[arg-type]
    spec = spec.model_copy(
        update={"data": spec.data.model_copy(update={"source": str(folder / "many.npz")})}
    )
    validation = load_data(spec, Settings(), lambda text: None).validation
    compared = run(folder, "compare", "study.toml", "--json").json
    weights = {
        int(each.data.tags["lockstep.trial"]): each
        for each in runs(folder / "runs", "small", "trial")
    }
    known = {
        trial["number"]: trial["val_top_5_accuracy"]
        for trial in compared["trials"]
        if "val_top_5_accuracy" in trial
    }
    assert len(known) == 3
    for number, found in known.items():
        run_id = weights[number].info.run_id
        file = folder / "runs" / "artifacts" / "small" / run_id / "artifacts" / "result.npz"
        with np.load(file) as arrays:
            Z = logits(validation.X, arrays["W"], arrays["b"])
        expected = top_k_accuracy_score(validation.y, Z, k=5, labels=np.arange(C))
        assert found == pytest.approx(expected, abs=1.5 / len(validation))
    table = run(folder, "compare", "study.toml").out
    assert "top-5" in table.splitlines()[0]
    assert f"{100 * known[compared['choice']['best']]:.2f} %" in table


def test_what_is_printed_and_logged_is_short(folder: Path, retrained: Finished) -> None:
    text = (folder / "launch.txt").read_text()
    assert "many.npz, 300 classes: " in text
    assert max(map(len, text.splitlines())) < 400
    report = retrained.json
    assert len(report["classes"]) == C
    assert report["scores"]["top_5_accuracy"]["value"] > report["test_accuracy"]
    (model,) = runs(folder / "runs", "small", "retrain")
    assert model.data.metrics["test_top_5_accuracy"] == report["scores"]["top_5_accuracy"]["value"]
    for each in (*runs(folder / "runs", "small", "trial"), model):
        assert len(each.data.metrics) < 60
        assert sum(len(value) for value in each.data.tags.values()) < 8000
    (study,) = runs(folder / "runs", "small", "study")
    for each in (study, model):
        for logged in each.inputs.dataset_inputs:
            assert json.loads(logged.dataset.profile)["classes"] == C
    note = model.data.tags["mlflow.note.content"]
    assert "top-5 accuracy" in note
    assert "of 300 classes, the 10 with the lowest recall are shown" in note
    shown = [line for line in note.splitlines() if line.startswith("| n0")]
    assert len(shown) == 10


def test_pictures_are_small(folder: Path, retrained: Finished) -> None:
    pictures = list((folder / "runs").rglob("*.png"))
    assert len(pictures) > 15
    assert max(picture.stat().st_size for picture in pictures) < 250_000


def test_only_the_curves_of_others_are_kept(folder: Path) -> None:
    trials = optuna_trials(folder / "runs", "small")
    files = [file.stat().st_size for file in (folder / "runs").rglob("result.npz")]
    assert len(files) == len(trials)
    assert sum(size > 4 * C * D for size in files) == 3
    assert sum(size < 4096 for size in files) == len(trials) - 3


def test_prediction(folder: Path, retrained: Finished) -> None:
    with np.load(folder / "many.npz") as arrays:
        np.savez(folder / "rows.npz", X=arrays["X"][::4])
    shown = run(folder, "predict", "study.toml", "rows.npz").out
    (all_rows,) = [line for line in shown.splitlines() if "rows in all" in line]
    assert "more of 300 classes" in all_rows
    assert len(all_rows) < 1000
    found = run(folder, "predict", "study.toml", "rows.npz", "--json").json["predictions"]
    assert len(found[0]["probabilities"]) == C
