"""What one driver records in a second: here, through the services of docker-compose.yml, and what
their MLflow server could write for more than one client."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import core_seconds_of_family
from profiled_launch import HTTP, OPTUNA, PNG, STEPS, TRIAL

if TYPE_CHECKING:
    from services import Services

    from core.datasets.study_data import StudyData
    from search.spec.study_spec import StudySpec

HERE = Path(__file__).resolve().parent
ROWS = 600  # of the data, so that training takes next to nothing
TIMEOUT = 240


@dataclass(frozen=True, slots=True)
class Problem:
    """A study file of the project, and its data."""

    spec: StudySpec
    data: StudyData

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True)
class Recorded:
    """A launch's recording. each: seconds of every trial. steps: by label calls, wall seconds and
    core seconds. cores: core seconds of the services, by name."""

    trials: int
    logging: float
    total: float
    each: list[float]
    steps: dict[str, list[float]]
    cores: dict[str, float]

    def milliseconds(self, label: str) -> float:
        """A trial's, in this step."""
        return 1000 * self.steps.get(label, [0, 0.0, 0.0])[1] / self.trials

    @property
    def waiting(self) -> float:
        """Milliseconds a trial in HTTP requests."""
        return sum(self.milliseconds(label) for label in self.steps if label.startswith(HTTP))

    @property
    def requests(self) -> float:
        """A trial."""
        return sum(self.steps[each][0] for each in self.steps if each.startswith(HTTP)) / (
            self.trials
        )

    @property
    def computing(self) -> float:
        """Milliseconds a trial that the driver's thread used a core."""
        return 1000 * self.steps[TRIAL][2] / self.trials

    @property
    def rate(self) -> float:
        """Trials a second of the driver."""
        return 1 / statistics.mean(self.each)


def write_study(problem: Problem, name: str, trials: int, folder: Path) -> Path:
    """The problem's pictures, classes and epochs, on few rows: runs are as large as its own."""
    train, model = problem.data.train, problem.spec.model
    assert train.image_shape is not None
    labels = np.array(train.class_names)[train.y[:ROWS]]
    np.savez(folder / f"{name}.npz", X=train.X[:ROWS].reshape(-1, *train.image_shape), y=labels)
    path = folder / f"{name}.toml"
    path.write_text(
        f"""
name = "{name}"
[data]
source = "{name}.npz"
validation_fraction = 0.2
[model]
penalty = "{model.penalty.value}"
epochs = {model.epochs}
[space]
learning_rate = {{ low = 1e-3, high = 1e-1, log = true, points = {trials // 10} }}
weight_decay = {{ low = 1e-6, high = 1e-2, log = true, points = 5 }}
batch_size = [50, 100]
"""
    )
    return path


def locally(problem: Problem, trials: int, folder: Path) -> Recorded:
    """Journal, SQLite and two processes."""
    study = write_study(problem, f"{problem.name}-locally", trials, folder)
    home = f"--home={folder / 'runs'}"
    command = ["launch", str(study), home, "--workers=2", "--recorders=1"]
    return _launched(command, folder, dict(os.environ), {})


def through(up: Services, problem: Problem, trials: int, folder: Path) -> Recorded:
    """PostgreSQL, the MLflow server and two Dask workers."""
    from services import driver

    study = write_study(problem, f"{problem.name}-served", trials, folder)
    _, *command = driver(up, str(study), home=folder / "runs")
    pids = {name: process.pid for name, process in up.running.items()}
    return _launched(command, folder, up.environment("lockstep"), pids)


def _launched(
    command: Sequence[str], folder: Path, environment: dict[str, str], pids: Mapping[str, int]
) -> Recorded:
    profile = folder / "profile.json"
    profile.unlink(missing_ok=True)
    before = {name: core_seconds_of_family(pid) for name, pid in pids.items()}
    done = subprocess.run(
        [sys.executable, str(HERE / "profiled_launch.py"), str(profile), *command, "--json"],
        cwd=folder, env=environment, text=True, capture_output=True, timeout=TIMEOUT,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    report, measured = json.loads(done.stdout.splitlines()[-1]), json.loads(profile.read_text())
    return Recorded(
        trials=sum(report["trials"].values()),
        logging=report["seconds"]["logging"],
        total=report["seconds"]["total"],
        each=measured["each"],
        steps=measured["steps"],
        cores={name: core_seconds_of_family(pid) - before[name] for name, pid in pids.items()},
    )


@contextmanager
def started() -> Iterator[Services]:
    """Everything but dashboard and driver, with two workers."""
    sys.path.append(str(HERE.parent))
    from services import services

    with services() as up:
        for name in ("postgres", "mlflow", "scheduler"):
            up.start(name)
        for n in (1, 2):
            up.start("worker", f"worker-{n}")
        yield up


# -- the server alone --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """Trials a second, and core milliseconds a trial of the services, by name."""

    clients: int
    rate: float
    cores: dict[str, float]


def written(
    up: Services, problem: Problem, clients: Sequence[int], seconds: float, folder: Path
) -> list[Written]:
    """How fast so many processes together can write runs such as the problem's."""
    from search.commands.study_data import load_data
    from search.settings import Settings
    from search.spec.study_file import load
    from search.tracking.store import open_tracker
    from search.trials.identity import Identity

    study = write_study(problem, f"{problem.name}-clients", 20, folder)
    spec, settings = load(study), Settings(home=folder, tracking_uri=up.mlflow)
    # As a launch does, and so that no two clients make the same experiment or data set.
    tracker = open_tracker(spec, settings, Identity("benchmark"))
    tracker.log_study_data(load_data(spec, settings, lambda text: None))
    found = []
    with ProcessPoolExecutor(
        max(clients), get_context("spawn"), _open_client, (study, up.mlflow, folder)
    ) as pool:
        list(pool.map(_write_until, [0.0] * max(clients)))  # now all of them are there
        for n in clients:
            names = ("mlflow", "postgres")
            before = [core_seconds_of_family(up.running[name].pid) for name in names]
            ends = time.time() + seconds
            count = sum(pool.map(_write_until, [ends] * n))
            after = [core_seconds_of_family(up.running[name].pid) for name in names]
            cores = {
                name: 1000 * (b - a) / count
                for name, a, b in zip(names, before, after, strict=True)
            }
            found.append(Written(n, count / seconds, cores))
    return found


_client: dict[str, Any] = {}  # of this process: the writer, and a run to be written


def _open_client(study: Path, uri: str, home: Path) -> None:
    from core.trainer.stack import train
    from core.trainer.training_data import TrainingData
    from search.commands.study_data import load_data
    from search.settings import Settings
    from search.spec.space import grid
    from search.spec.study_file import load
    from search.tracking.store import load_tracker
    from search.tracking.trial_writer import TrialRun, TrialWriter, features_of
    from search.trials.outcome import Outcome
    from search.trials.trial import PlannedTrial

    spec = load(study)
    data = load_data(spec, Settings(), lambda text: None)
    training = TrainingData.of(data.train, data.validation)
    tried = grid(spec)[0]
    (result,) = train(
        training, [tried], penalty=spec.model.penalty, epochs=spec.model.epochs, seed=0
    )
    settings = Settings(home=home, tracking_uri=uri)
    tracker = load_tracker(spec, settings, "benchmark")
    _client["writer"] = TrialWriter(tracker, features_of(data))
    _client["run"] = TrialRun(PlannedTrial(0, tried), Outcome(result))


def _write_until(ends: float) -> int:
    """Runs that were written by then."""
    count = 0
    while True:
        _client["writer"].write(_client["run"])
        if time.time() > ends:
            return count
        count += 1


def steps() -> list[tuple[str, str]]:
    """Of recording a trial: what to call it, and its label."""
    return [
        (PNG, PNG),
        *((f"MLflow {step}", step) for step in STEPS),
        ("Optuna commit", OPTUNA),
        ("all", TRIAL),
    ]
