"""Disks that are full: the journal's, MLflow's, the artifacts'. And a clock that runs backwards."""

from __future__ import annotations

import re
import resource
import signal
import time
from pathlib import Path

import pytest
from command import lockstep, python_script
from driving import launched_until_more_is_recorded
from namespaces import namespace, needs_namespaces
from ready_store import OWN
from small_study import small_study, write_study
from stored import configurations, optuna_trials, runs, scores

TRIALS = 12
STUDY = small_study(batch_size=[16])

pytestmark = pytest.mark.xdist_group("disk")  # so that its studies are launched once


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert lockstep("launch", str(write_study(folder, STUDY)), cwd=folder).code == 0
    return folder / "runs"


def assert_whole(home: Path, undisturbed: Path) -> None:
    """Every configuration once in both places, with the numbers of an undisturbed study."""
    trials = optuna_trials(home, "small")
    assert len(set(configurations(trials))) == len(trials) == TRIALS
    assert scores(home, "small") == scores(undisturbed, "small")
    children = runs(home, "small", "trial")
    ids = {trial.user_attrs["mlflow.run_id"] for trial in trials}
    assert {run.info.run_id for run in children} == ids
    (parent,) = runs(home, "small", "study")
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    for run in children:
        files = {file.name for file in Path(run.info.artifact_uri[len("file://") :]).iterdir()}
        assert {"templates.png", "result.npz"} <= files


@needs_namespaces
@pytest.mark.parametrize(
    ("place", "size", "variables", "told"),
    [
        # the journal's folder
        ("small", "12k", {}, ["No space left on device", "runs/small|--home"]),
        ("artifacts", "60k", {}, ["No space left on device"]),
        (".", "300k", OWN, ["disk is full"]),  # everything: MLflow's database cannot even be made
    ],
    ids=["journal", "artifacts", "everything"],
)
def test_a_full_disk(
    tmp_path: Path,
    undisturbed: Path,
    place: str,
    size: str,
    variables: dict[str, str],
    told: list[str],
) -> None:
    """One sentence; with more room, the same command goes on where it was, and nothing is lost."""
    write_study(tmp_path, STUDY)
    (tmp_path / "runs" / place).mkdir(parents=True)
    with namespace(tmp_path) as inside:
        inside.shell(f"mount -t tmpfs -o size={size} tmpfs runs/{place}")
        refused = inside.lockstep("launch", "study.toml", variables=variables)
        inside.shell(f"mount -o remount,size=200m runs/{place}")
        finished = inside.lockstep("launch", "study.toml", variables=variables)
        inside.shell(f"cp -a runs/{place} kept")
    assert finished.code == 0, finished.err
    assert refused.code == 2, refused.err
    (line,) = refused.err.splitlines()
    assert all(re.search(each, line) for each in told), line
    assert "make room" in line
    assert "finished trials are kept" in line or "cannot be used" in line
    for path in sorted((tmp_path / "kept").iterdir()):  # the mount vanished with its namespace
        path.rename(tmp_path / "runs" / place / path.name)
    assert_whole(tmp_path / "runs", undisturbed)


def test_files_that_may_not_grow(tmp_path: Path, undisturbed: Path) -> None:
    """A limit on the size of files instead of a full disk: works for every user. It is reached by
    the database at first, and by the journal once the database is there."""
    path = write_study(tmp_path, STUDY)
    for limit in (100_000, 1_200_000):
        finished = lockstep(
            "launch",
            str(path),
            cwd=tmp_path,
            # Python would cut its own compiled files at the limit, and later read what is left.
            variables={"PYTHONDONTWRITEBYTECODE": "1", **OWN},
            limits={resource.RLIMIT_FSIZE: limit},
        )
        assert finished.code == 2, finished.err
        assert len(finished.err.splitlines()) == 1
        assert finished.err.startswith("lockstep: ")
    assert lockstep("launch", str(path), cwd=tmp_path).code == 0
    assert_whole(tmp_path / "runs", undisturbed)


# Runs the command line, as the console script does, with such a clock.
BACKWARDS = """
import time

from lockstep_entry import main

_now, _passed = time.time(), time.monotonic

def time_(began=_passed()):
    return _now - 1e6 - 100 * (_passed() - began)  # an earlier day, and ever earlier

time.time = time_
time.time_ns = lambda: int(1e9 * time_())
main()
"""


def test_a_clock_that_runs_backwards(tmp_path: Path, undisturbed: Path) -> None:
    """A launch is stopped; when the same command continues, the clock shows an earlier time than
    that of the trials that are done, and runs backwards."""
    path = write_study(tmp_path, STUDY)
    process = launched_until_more_is_recorded(tmp_path, 5)
    assert process.poll() is None
    journal = tmp_path / "runs" / "small" / "study.journal"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 5 <= len(optuna_trials(tmp_path / "runs", "small")) < TRIALS
    (tmp_path / "backwards.py").write_text(BACKWARDS)
    later = re.sub(rb"20\d\d-(\d\d-\d\dT)", rb"2099-\1", journal.read_bytes())
    assert later.count(b"2099-") >= 5
    journal.write_bytes(later)
    finished = python_script(tmp_path / "backwards.py", "launch", str(path), "--json", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert "Traceback" not in finished.err
    began = sorted(run.info.start_time / 1000 for run in runs(tmp_path / "runs", "small", "trial"))
    assert began[0] < time.time() - 9e5 < began[-1], "the clock of the second launch was another"
    assert_whole(tmp_path / "runs", undisturbed)
