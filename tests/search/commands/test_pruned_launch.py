"""Pruning, replicates and finalists through the real command line, killed and not."""

from __future__ import annotations

import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from blank_figures import PAINTED
from command import lockstep
from driving import launched_until_more_is_recorded
from small_study import small_study, write_study
from stored import client, optuna_trials, runs, scores

from core.trainer.pruning import kept

WHOLE = small_study(epochs=18)
PRUNED = small_study(epochs=18, pruner="halving", min_epochs=2)
RUNGS = [2, 6, 18]
EVERYTHING = small_study(
    {"search.epochs": 300},
    epochs=8,
    sampler="tpe",
    cohort=12,
    pruner="hyperband",
    reduction=2,
    min_epochs=2,
    replicates=2,
    finalists=3,
)


pytestmark = pytest.mark.xdist_group("pruned_launch")  # so that its studies are launched once


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("halved")
    path = write_study(folder, PRUNED)
    finished = lockstep("launch", str(path), "--json", cwd=folder, variables=PAINTED)
    assert finished.code == 0, finished.err
    assert finished.json["trials"] == {"complete": 3, "pruned": 21, "failed": 0}
    assert finished.json["epochs"] == 16 * 2 + 5 * 6 + 3 * 18
    assert "halving at 2, 6 epochs" in finished.err
    return folder


def test_optuna_sees_rungs_and_states(halved: Path) -> None:
    trials = optuna_trials(halved / "runs", "small")
    assert [trial.number for trial in trials] == list(range(24)), "in the order of the grid"
    assert Counter(trial.state.name for trial in trials) == {"PRUNED": 21, "COMPLETE": 3}
    for trial in trials:
        values = trial.intermediate_values
        result = trial.user_attrs["lockstep.result"]
        assert list(values) == [epoch for epoch in RUNGS if epoch <= result["stopped_epoch"]]
        assert values[result["stopped_epoch"]] == result["val_loss"]
        if trial.state.name == "COMPLETE":
            assert trial.value == values[18]
    for rung, epoch in enumerate(RUNGS[:-1]):
        at_rung = {t.number: t.intermediate_values.get(epoch) for t in trials}
        reached = {number: value for number, value in at_rung.items() if value is not None}
        went_on = {t.number for t in trials if max(t.intermediate_values) > epoch}
        assert went_on == set(sorted(reached, key=reached.__getitem__)[: kept(24, 3, rung + 1)])


def test_mlflow_keeps_what_was_pruned(halved: Path) -> None:
    by_run = {t.user_attrs["mlflow.run_id"]: t for t in optuna_trials(halved / "runs", "small")}
    store = client(halved / "runs")
    for run in runs(halved / "runs", "small", "trial"):
        trial = by_run[run.info.run_id]
        pruned = trial.state.name == "PRUNED"
        assert run.info.status == ("KILLED" if pruned else "FINISHED")
        stopped = trial.user_attrs["lockstep.result"]["stopped_epoch"]
        steps = [point.step for point in store.get_metric_history(run.info.run_id, "val_loss")]
        assert max(steps) == stopped
        files = {file.path for file in store.list_artifacts(run.info.run_id)}
        assert {"templates.png", "result.npz"} <= files
        assert ("stopped early" in run.data.tags["lockstep.status"]) == pruned
        page = f"/runs/{run.info.run_id}?workflowType=machine_learning"
        assert trial.user_attrs["mlflow.run"].endswith(page)


def test_pruned_trials_are_not_ranked(halved: Path) -> None:
    compared = lockstep("compare", "study.toml", "--json", cwd=halved)
    assert compared.code == 0, compared.err
    rows = compared.json["trials"]
    assert [row["status"] for row in rows] == ["completed"] * 3 + ["pruned"] * 21
    assert compared.json["choice"]["compared"] == 3
    assert "21 stopped early" in lockstep("compare", "study.toml", cwd=halved).out
    refused = lockstep("retrain", "study.toml", "--trial", str(rows[5]["number"]), cwd=halved)
    assert refused.code == 2
    assert "no completed trial of that number" in refused.err


def test_the_best_is_that_of_the_whole_grid(halved: Path, tmp_path: Path) -> None:
    """Up to the first rung, numbers are those of a study that is not pruned, bit for bit."""
    path = write_study(tmp_path, WHOLE)
    assert lockstep("launch", str(path), cwd=tmp_path).code == 0
    full = {trial.number: trial for trial in optuna_trials(tmp_path / "runs", "small")}
    other = client(tmp_path / "runs")
    for trial in optuna_trials(halved / "runs", "small"):
        first = trial.intermediate_values[RUNGS[0]]
        run = full[trial.number].user_attrs["mlflow.run_id"]
        at = {point.step: point.value for point in other.get_metric_history(run, "val_loss")}
        assert at[RUNGS[0]] == first
        if trial.state.name == "COMPLETE":
            assert trial.value == pytest.approx(full[trial.number].value, rel=1e-5)


def recorded(home: Path) -> dict[object, object]:
    """What two runs of a study must agree on."""
    found = {
        key: (number, {k: v for k, v in result.items() if k != "run_id"})
        for key, (number, result) in scores(home, "small").items()
    }
    states = {t.number: (t.state.name, t.intermediate_values) for t in optuna_trials(home, "small")}
    return {**found, "states": states}


LONG = {
    "halving": small_study(epochs=90, pruner="halving", min_epochs=10),
    "tpe and hyperband": small_study(
        epochs=40,
        sampler="tpe",
        trials=18,
        cohort=6,
        pruner="hyperband",
        min_epochs=5,
        replicates=2,
        finalists=2,
    ),
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_killed_in_the_middle_of_rungs(tmp_path: Path, text: str) -> None:
    """Killed again and again: the same decisions, numbers and winner."""
    folders = [tmp_path / name for name in ("undisturbed", "killed")]
    for folder in folders:
        folder.mkdir()
        write_study(folder, text)
    undisturbed, killed = folders
    expected = lockstep("launch", "study.toml", "--json", cwd=undisturbed, warm_children=True)
    assert expected.code == 0, expected.err
    rng = random.Random(1)
    kills = Counter[int]()
    for _ in range(4):
        process = launched_until_more_is_recorded(killed, warm_children=True)
        time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills[process.returncode] += 1
    assert kills[-signal.SIGKILL] > 1
    continued = lockstep("launch", "study.toml", "--json", cwd=killed, warm_children=True)
    assert continued.code == 0, continued.err
    assert recorded(killed / "runs") == recorded(undisturbed / "runs")
    for key in ("trials", "best", "finals", "epochs"):
        assert continued.json[key] == expected.json[key]
    statuses = Counter(run.info.status for run in runs(killed / "runs", "small", "trial"))
    assert statuses == Counter(
        run.info.status for run in runs(undisturbed / "runs", "small", "trial")
    )


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    path = write_study(folder, EVERYTHING)
    finished = lockstep("launch", str(path), "--json", cwd=folder, variables=PAINTED)
    assert finished.code == 0, finished.err
    (folder / "launch.json").write_text(finished.out)
    (folder / "launch.txt").write_text(finished.err)
    return folder


def test_the_budget_of_epochs_is_spent_and_not_overdrawn(everything: Path) -> None:
    trials = optuna_trials(everything / "runs", "small")
    spent = 2 * sum(t.user_attrs["lockstep.result"]["stopped_epoch"] for t in trials)
    assert 300 - 2 * 8 < spent <= 300
    states = Counter(trial.state.name for trial in trials)
    assert sum(states.values()) == len(trials)
    assert set(states) <= {"COMPLETE", "PRUNED", "FAIL"}
    assert states["COMPLETE"] > 0 < states["PRUNED"]


def test_replicates_are_logged_with_their_spread(everything: Path) -> None:
    by_run = {
        t.user_attrs["mlflow.run_id"]: t.user_attrs["lockstep.result"]
        for t in optuna_trials(everything / "runs", "small")
    }
    for run in runs(everything / "runs", "small", "trial"):
        spread = by_run[run.info.run_id]["spread"]
        assert run.data.metrics["val_loss_std"] == spread["val_loss_std"] > 0
    assert "± " in (everything / "launch.txt").read_text()
    rows = lockstep("compare", "study.toml", "--json", cwd=everything).json["trials"]
    assert all(row["val_loss_std"] > 0 for row in rows)


def test_finalists_name_the_winner(everything: Path) -> None:
    import json

    finals = json.loads((everything / "launch.json").read_text())["finals"]
    ranking = lockstep("compare", "study.toml", "--json", cwd=everything).json
    assert ranking["finals"] == finals
    assert finals["seeds"] == [2, 3, 4]
    best = [row["number"] for row in ranking["trials"][:3]]
    assert sorted(each["trial"] for each in finals["finalists"]) == sorted(best)
    losses = [each["val_loss"] for each in finals["finalists"]]
    assert losses == sorted(losses)
    assert finals["winner"] == finals["finalists"][0]["trial"]
    searched = {row["number"]: row["val_loss"] for row in ranking["trials"]}
    assert all(each["val_loss"] != searched[each["trial"]] for each in finals["finalists"])
    note = runs(everything / "runs", "small", "study")[0].data.tags["mlflow.note.content"]
    for text in ((everything / "launch.txt").read_text(), note):
        assert re.search(rf"winner\W+#{finals['winner']}\b", text)
    fresh = {
        run.data.tags["lockstep.trial"]: run.data.metrics["fresh_val_loss"]
        for run in runs(everything / "runs", "small", "trial")
        if "fresh_val_loss" in run.data.metrics
    }
    assert fresh == {str(each["trial"]): each["val_loss"] for each in finals["finalists"]}
    retrained = lockstep("retrain", "study.toml", "--seeds", "0", "--json", cwd=everything)
    assert retrained.json["trial"] == finals["winner"]
    again = lockstep("launch", "study.toml", "--json", cwd=everything)
    assert again.json["finals"] == finals
    assert again.json["seconds"]["training"] == 0, "they are judged once"


def test_minutes_end_a_search_and_more_continue_it(tmp_path: Path) -> None:
    path = write_study(tmp_path, small_study(sampler="random", minutes=1e-4, cohort=3))
    first = lockstep("launch", str(path), "--json", cwd=tmp_path)
    assert first.code == 0, first.err
    assert first.json["trials"]["complete"] == 3, "a cohort that was begun is finished"
    assert first.json["out_of_time"]
    assert "the budget of 0.0001 minutes is spent" in first.err
    again = lockstep("launch", "study.toml", "--json", cwd=tmp_path)
    assert again.json["trials"]["complete"] == 3
    write_study(tmp_path, small_study(sampler="random", minutes=9, trials=7, cohort=3))
    more = lockstep("launch", "study.toml", "--json", cwd=tmp_path)
    assert more.json["trials"]["complete"] == 7
    assert not more.json["out_of_time"]
