"""Comparing trials and studies through the real command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command import lockstep
from PIL import Image
from small_study import FEW, small_study, write_study
from stored import client, optuna_trials, preset, preset_runs, runs

from search.settings import UI_PORT
from search.tracking.links import SIDE_VIEW, charts_url
from search.tracking.view_format import COMPARED

OTHER = small_study(name="other", epochs=1, **FEW)
ELSEWHERE = small_study({"data.seed": 1}, name="elsewhere", **FEW)


pytestmark = pytest.mark.xdist_group("compare")  # so that its studies are launched once


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, one of fewer epochs on the same split, and one on another split."""
    folder = tmp_path_factory.mktemp("launched")
    for text in (small_study(), OTHER, ELSEWHERE):
        assert lockstep("launch", str(write_study(folder, text)), cwd=folder).code == 0
    for name, text in (("other", OTHER), ("elsewhere", ELSEWHERE), ("study", small_study())):
        (folder / f"{name}.toml").write_text(text)
    return folder


def compared_runs(home: Path, link: str) -> list[str]:
    """The runs that the link sets side by side: the preset that it opens names them."""
    (study,) = runs(home, "small", "study")
    experiment = study.info.experiment_id
    assert link == charts_url(f"http://127.0.0.1:{UI_PORT}", experiment, SIDE_VIEW)
    return preset_runs(preset(client(home), experiment, SIDE_VIEW))


def test_ranks_all_trials(launched: Path) -> None:
    finished = lockstep("compare", "study.toml", "--json", cwd=launched)
    assert finished.code == 0, finished.err
    rows = finished.json["trials"]
    assert len(rows) == 24
    losses = [row["val_loss"] for row in rows]
    assert losses == sorted(losses)
    by_number = {trial.number: trial for trial in optuna_trials(launched / "runs", "small")}
    for row in rows:
        trial = by_number[row["number"]]
        assert row["val_loss"] == trial.value
        # Scored again from the weights: the same but for rounding.
        assert row["behind"] == pytest.approx(row["val_loss"] - losses[0], abs=1e-5)
        assert row["run_id"] == trial.user_attrs["mlflow.run_id"]
        assert {key: row[key] for key in trial.params} == trial.params
    assert compared_runs(launched / "runs", finished.json["compare_url"]) == [
        row["run_id"] for row in rows[:COMPARED]
    ]
    with Image.open(launched / finished.json["heat_maps"]) as picture:
        assert min(picture.size) > 200
    choice = finished.json["choice"]
    assert choice["best"] == rows[0]["number"]
    assert 1 <= choice["indistinguishable_from_best"] <= choice["compared"] == 24
    (simplest,) = [row for row in rows if row["number"] == choice["one_se"]]
    assert simplest["behind"] <= max(simplest["behind_error"], 0.01 * rows[0]["loss_error"])
    assert choice["optimism"]["apparent"] == pytest.approx(losses[0], abs=1e-5)


def test_tells_people_how_sure_it_is(launched: Path) -> None:
    finished = lockstep("compare", "study.toml", cwd=launched)
    assert finished.code == 0, finished.err
    tied = "of 24 trials are statistically indistinguishable from the best"
    for words in (tied, "one-se", "too good by", "heat maps", "±"):
        assert words in finished.out
    assert "it lies on the edge of the search" in finished.out
    note = runs(launched / "runs", "small", "study")[0].data.tags["mlflow.note.content"]
    assert tied in note


def test_studies_of_one_split_are_paired(launched: Path) -> None:
    finished = lockstep("compare", "other.toml", "study.toml", "--json", cwd=launched)
    assert finished.code == 0, finished.err
    first, second = finished.json["studies"]
    assert (first["study"], second["study"]) == ("small", "other")
    assert first["behind"] is None
    behind = second["behind"]
    assert behind["paired"]
    assert behind["loss"] == pytest.approx(second["val_loss"] - first["val_loss"], abs=1e-5)
    assert 0 < behind["loss_p"] < 1
    assert behind["loss_error"] < second["loss_error"]


def test_studies_of_other_splits_are_not(launched: Path) -> None:
    finished = lockstep("compare", "elsewhere.toml", "study.toml", cwd=launched)
    assert finished.code == 0, finished.err
    assert "not paired" in finished.out
    assert " p = " not in finished.out
    twice = lockstep("compare", "study.toml", "study.toml", cwd=launched)
    assert twice.code == 2
    assert "small is named twice" in twice.err


def test_before_launch_says_what_to_do(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    for command in ("compare", "retrain", "ui"):
        refused = lockstep(command, str(path), cwd=tmp_path)
        assert refused.code == 2
        assert "launch" in refused.err
        assert len(refused.err.splitlines()) == 1
    assert not (tmp_path / "runs" / "mlflow.db").exists()


def test_runs_deleted_in_mlflow_stay_deleted(launched: Path, tmp_path: Path) -> None:
    """Their trials count, as Optuna says so; pictures and links go without them."""
    shutil.copytree(launched, tmp_path, dirs_exist_ok=True)  # a home may be moved
    path = tmp_path / "study.toml"
    rows = lockstep("compare", str(path), "--json", cwd=tmp_path).json["trials"]
    best, second, third = (row["run_id"] for row in rows[:3])
    store = client(tmp_path / "runs")
    store.delete_run(best)
    store.delete_run(second)
    shutil.rmtree(tmp_path / "runs" / "artifacts" / "small" / second)  # as `mlflow gc` does
    again = lockstep("launch", str(path), "--json", cwd=tmp_path)
    assert again.code == 0, again.err
    assert again.json["best"]["number"] == rows[0]["number"]
    assert len(optuna_trials(tmp_path / "runs", "small")) == 24
    compared = lockstep("compare", str(path), "--json", cwd=tmp_path)
    assert compared.code == 0, compared.err
    fourth = rows[3]["run_id"]
    assert compared_runs(tmp_path / "runs", compared.json["compare_url"]) == [third, fourth]
    assert compared.json["choice"]["without_weights"] == [rows[1]["number"]]
    assert compared.json["choice"]["compared"] == 23
