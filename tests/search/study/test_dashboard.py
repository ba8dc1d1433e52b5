"""What optuna-dashboard shows of a study, asked of its own server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import warm
from command import HUNG, environment, lockstep
from small_study import small_study, write_study
from stored import runs

from search.commands.ui import free_port

# The largest rates diverge; of the rest, halving stops most.
STUDY = small_study(
    penalty="squared",
    epochs=18,
    learning_rate={"low": 1e-3, "high": 100.0, "log": True, "points": 4},
    weight_decay={"low": 1e-6, "high": 10.0, "log": True, "points": 3},
    batch_size=[16, 64],
    pruner="halving",
    min_epochs=2,
)
RUNGS = [2, 6, 18]
DASHBOARD = Path(sys.executable).with_name("optuna-dashboard")


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)


pytestmark = pytest.mark.xdist_group("dashboard")  # so that its studies are launched once


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launched")
    finished = lockstep("launch", str(write_study(folder, STUDY)), cwd=folder)
    assert finished.code == 0, finished.err
    return folder


def test_the_dashboard_shows_states_rungs_and_links(launched: Path) -> None:
    port = free_port(0)
    journal = str(launched / "runs" / "small" / "study.journal")
    server = warm.start(
        DASHBOARD, [journal, "--port", str(port), "--server", "wsgiref"], cwd=launched,
        environment=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        new_group=False, servers=True,
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}/api/studies"
        deadline = time.monotonic() + HUNG
        while True:
            try:
                (study,) = get(address)["study_summaries"]
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline, "the dashboard did not answer"
                time.sleep(0.2)
        shown = get(f"{address}/{study['study_id']}")
    finally:
        server.terminate()
        server.wait(timeout=HUNG)
    assert study["study_name"] == shown["name"] == "small"
    assert shown["has_intermediate_values"]
    by_run = {run.info.run_id: run for run in runs(launched / "runs", "small", "trial")}
    statuses = {"Complete": "FINISHED", "Pruned": "KILLED", "Fail": "FAILED"}
    states = Counter(trial["state"] for trial in shown["trials"])
    assert sum(states.values()) == 24
    assert states.keys() == statuses.keys(), "there is one of each"
    for trial in shown["trials"]:
        attributes = {each["key"]: each["value"] for each in trial["user_attrs"]}
        run = by_run[attributes["mlflow.run_id"]]
        assert run.info.status == statuses[trial["state"]]
        link = attributes["mlflow.run"]
        assert link.startswith("http://127.0.0.1:5000/#/experiments/")
        assert link.endswith(f"/runs/{run.info.run_id}?workflowType=machine_learning")
        steps = [each["step"] for each in trial["intermediate_values"]]
        assert steps == RUNGS[: len(steps)]
        if trial["state"] == "Fail":
            continue
        stopped = int(run.data.metrics["stopped_epoch"])
        assert steps[-1] == stopped
        assert trial["intermediate_values"][-1]["value"] == run.data.metrics["val_loss"]
        assert trial["values"] == [run.data.metrics["val_loss"]]
    best = min(
        (trial for trial in shown["trials"] if trial["state"] == "Complete"),
        key=lambda trial: trial["values"][0],
    )
    assert [trial["number"] for trial in shown["best_trials"]] == [best["number"]]
