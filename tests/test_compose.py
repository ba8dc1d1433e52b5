"""The services of docker-compose.yml, run without Docker: they may be killed at any moment.

`test_compose_file.py` checks the file, `test_docker.py` runs it through a real engine.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest
import requests
import warm
from command import HUNG, REPOSITORY, Finished, lockstep
from mlflow import MlflowClient
from services import PASSWORD, Services, driver, services
from small_study import Options, small_study, write_study
from stored import scores

distributed = pytest.importorskip("distributed", reason="Dask is not installed: lockstep[cluster]")
pytestmark = pytest.mark.xdist_group("services")

# Three stacks of seconds each, so that something can happen while they train and are recorded.
LONGER: Options = {
    "epochs": 1500,
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True, "points": 2},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True, "points": 2},
    "batch_size": [16, 32, 64],
}


@pytest.fixture(scope="module")
def up() -> Iterator[Services]:
    """Everything but the driver, with two workers."""
    with services() as started:
        for name in ("postgres", "mlflow", "dashboard", "scheduler"):
            started.start(name)
        for n in (1, 2):
            started.start("worker", f"worker-{n}")
        yield started


def test_the_mlflow_server_answers_at_once(up: Services) -> None:
    """On a connection that is kept, as the driver's. Without uvloop several workers keep the body
    of every answer for 40 ms, which trebles what a trial costs."""
    times = []
    with requests.Session() as session:
        for _ in range(20):
            began = time.perf_counter()
            assert session.get(f"{up.mlflow}/health", timeout=30).ok
            times.append(time.perf_counter() - began)
    assert min(times[1:]) < 0.03, "is uvloop installed?"


def run(up: Services, command: list[str], cwd: Path) -> Finished:
    process = started(up, command, cwd)
    out, err = process.communicate(timeout=HUNG)
    return Finished(process.returncode, out, err)


def trials(up: Services, study: str) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(up.url("optuna", quote(PASSWORD, safe="")))
    try:
        return optuna.load_study(study_name=study, storage=storage).get_trials()
    except KeyError:
        return []
    finally:
        storage.engine.dispose()


def assert_whole(up: Services, study: str, expected: dict[object, object]) -> None:
    """Every configuration once in Optuna and in MLflow, numbers as locally, nothing RUNNING."""
    done = trials(up, study)
    found = {
        tuple(sorted(trial.params.items())): (trial.number, trial.user_attrs["lockstep.result"])
        for trial in done
    }
    assert len(done) == len(found) == len(expected)
    assert found == expected
    client = MlflowClient(up.mlflow)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    children = [run for run in runs if run.data.tags["lockstep.role"] == "trial"]
    recorded = {trial.user_attrs["mlflow.run_id"] for trial in done}
    assert {run.info.run_id for run in children} == recorded
    assert len(children) == len(done)
    assert "RUNNING" not in {run.info.status for run in runs}
    for child in children:
        assert client.get_metric_history(child.info.run_id, "val_loss")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[object, object]:
    """What a launch without cluster and servers records."""
    folder = tmp_path_factory.mktemp("local")
    path = write_study(folder, small_study(**LONGER))
    finished = lockstep("launch", str(path), cwd=folder, warm_children=True)
    assert finished.code == 0, finished.err
    return dict(scores(folder / "runs", "small"))


def n_trials(up: Services, study: str) -> int:
    """How many trials there are of a study, at little cost."""
    import psycopg

    count = "SELECT count(*) FROM trials JOIN studies USING (study_id) WHERE study_name = %s"
    address = up.url("optuna", quote(PASSWORD, safe="")).replace("+psycopg", "")
    try:
        with psycopg.connect(address) as connection:
            (found,) = connection.execute(count, [study]).fetchone() or (0,)
            return int(found)
    except psycopg.errors.UndefinedTable:
        return 0


def wait_for(up: Services, study: str, n: int, process: warm.Process) -> None:
    deadline = time.monotonic() + HUNG
    while n_trials(up, study) < n:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_for_task(up: Services, process: warm.Process) -> None:
    """Until a worker is training."""
    with distributed.Client(f"tcp://127.0.0.1:{up.ports['8786']}", set_as_default=False) as client:
        deadline = time.monotonic() + HUNG
        while not any(client.processing().values()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)


def started(up: Services, command: list[str], cwd: Path) -> warm.Process:
    program, *arguments = command
    return warm.start(
        Path(program), arguments, cwd=cwd, environment=up.environment("lockstep"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, new_group=False, servers=True,
    )  # fmt: skip


def test_what_is_killed_on_the_way_loses_nothing(
    up: Services, local: dict[object, object], tmp_path: Path
) -> None:
    """One launch: a worker dies while it trains, then the servers that record."""
    study = "killed"
    path = write_study(tmp_path, small_study(name=study, **LONGER))
    process = started(up, driver(up, str(path), home=tmp_path / "runs"), tmp_path)
    wait_for_task(up, process)
    for victim, recorded in (("worker-1", 1), ("mlflow", 3), ("postgres", 5)):
        up.kill(victim)
        up.start(victim.split("-")[0], victim)
        wait_for(up, study, recorded, process)
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 0, (out, err)
    assert "Traceback" not in err
    assert_whole(up, study, local)


def test_what_stays_away_stops_the_driver_and_the_same_command_continues(
    up: Services, local: dict[object, object], tmp_path: Path
) -> None:
    """Three launches of one study lose a service each; the fourth finishes it."""
    study = "away"
    path = write_study(tmp_path, small_study(name=study, **LONGER))
    command = driver(up, str(path), home=tmp_path / "runs", patience="2")
    for victim, recorded in (("scheduler", 0), ("mlflow", 2), ("postgres", 4)):
        process = started(up, command, tmp_path)
        if victim == "scheduler":
            wait_for_task(up, process)
        wait_for(up, study, recorded, process)
        up.kill(victim)
        out, err = process.communicate(timeout=HUNG)
        assert process.returncode == 2, (victim, out, err)
        assert "finished trials are kept" in err
        assert "the same command continues" in err
        for text in (out, err):
            assert "Traceback" not in text
            assert PASSWORD not in text
        up.start(victim)
        if victim == "scheduler":
            for n in (1, 2):
                up.kill(f"worker-{n}")
                up.start("worker", f"worker-{n}")
    finished = run(up, command, tmp_path)
    assert finished.code == 0, finished.err
    assert_whole(up, study, local)


def test_two_drivers_and_no_password_anywhere(
    up: Services, local: dict[object, object], tmp_path: Path
) -> None:
    """A second driver, of another home, is refused, the first named. The passwords in the first
    one's URLs are in nothing that it wrote: output, files, both databases, logs of the services."""
    study, secret = "twice", "hidden-in-a-url"
    path = write_study(tmp_path, small_study(name=study, **LONGER))
    urls = [
        f"--storage={up.url('optuna', quote(PASSWORD, safe=''))}",
        f"--tracking-uri={up.mlflow.replace('//', f'//me:{secret}@')}",
    ]
    home = tmp_path / "first"
    first = started(up, driver(up, str(path), *urls, "--json", home=home), tmp_path)
    wait_for(up, study, 1, first)
    second = run(up, driver(up, str(path), *urls, home=tmp_path / "second"), tmp_path)
    assert second.code == 2
    assert f"study {study} is being run by process {first.pid} on " in second.err
    assert ", since 20" in second.err
    out, err = first.communicate(timeout=HUNG)
    assert first.returncode == 0, (out, err)
    assert_whole(up, study, local)
    written = [text.encode() for text in (out, err, second.out, second.err)]
    written += [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    written += [file.read_bytes() for file in up.folder.glob("*.log")]
    written += [file.read_bytes() for file in (up.folder / "artifacts").rglob("*.*")]
    written += [up.content(database).encode() for database in ("optuna", "mlflow")]
    assert study.encode() in written[-1], "the databases were read"
    for password in (secret, PASSWORD, quote(PASSWORD, safe="")):
        assert not [text for text in written if password.encode() in text], password


def test_digits_through_all_services(up: Services, tmp_path: Path) -> None:
    assert_through_all_services(up, tmp_path, "digits-3v6")


def test_mnist_through_all_services(up: Services, tmp_path: Path, mnist_dir: Path) -> None:
    assert_through_all_services(up, tmp_path, "mnist-3v6", f"--data-dir={mnist_dir}")


def assert_through_all_services(up: Services, tmp_path: Path, study: str, *data: str) -> None:
    """Launched through the services, the study is as locally.

    Its grid is made smaller, since recording is what takes the time, and it trains for less long.
    """
    text = (REPOSITORY / "studies" / f"{study}.toml").read_text()
    text = text.replace("[25, 50, 100, 200, 400, 800, 1600]", "[200, 800]")
    text = re.sub(r"epochs = 100\b", "epochs = 30", text)
    path = write_study(tmp_path, re.sub(r"points = \d+", "points = 2", text))
    finished = run(up, [*driver(up, str(path), *data, home=tmp_path / "runs"), "--json"], tmp_path)
    assert finished.code == 0, finished.err
    home = tmp_path / "local"
    local = lockstep(
        "launch", str(path), *data, "--home", str(home), cwd=tmp_path, warm_children=True
    )
    assert local.code == 0, local.err
    expected = dict(scores(home, study))
    assert finished.json["trials"]["complete"] == len(expected) >= 4
    assert_whole(up, study, expected)


@pytest.mark.parametrize(
    ("option", "url"),
    [
        ("--storage", "postgresql+psycopg://me:{password}@127.0.0.1:9/optuna"),
        ("--tracking-uri", "http://me:{password}@127.0.0.1:9"),
        ("--tracking-uri", "postgresql+psycopg://me:{password}@127.0.0.1:9/mlflow"),
    ],
)
@pytest.mark.parametrize("password", ["s3cret", "s3%40cr%2Fet"])
def test_an_unreachable_server_is_one_sentence_within_seconds(
    tmp_path: Path, option: str, url: str, password: str
) -> None:
    path = write_study(tmp_path)
    began = time.monotonic()
    refused = lockstep(
        "launch", str(path), option, url.format(password=password), "--workers=1", cwd=tmp_path
    )
    assert refused.code == 2
    assert time.monotonic() - began < 100, "MLflow and --patience would wait for longer"
    assert "cannot be" in refused.err
    for secret in (password, "s3@cr/et"):
        assert secret not in refused.err + refused.out
    assert "Traceback" not in refused.err


def test_what_each_role_may_do(up: Services) -> None:
    """The dashboard reads Optuna's tables; nobody is a superuser, or in another's database."""
    import psycopg

    def run(role: str, database: str, statement: str) -> object:
        with psycopg.connect(
            host="127.0.0.1", port=int(up.ports["5432"]), user=role, password=PASSWORD,
            dbname=database, autocommit=True,
        ) as connection:  # fmt: skip
            return (connection.execute(statement.encode()).fetchone() or (None,))[0]

    for role, database in (("lockstep", "optuna"), ("dashboard", "optuna"), ("mlflow", "mlflow")):
        rights = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
        asked = f"SELECT {rights} FROM pg_roles WHERE rolname = current_user"
        assert run(role, database, asked) is False, role
    assert run("dashboard", "optuna", "SELECT count(*) FROM trials") is not None
    for statement in ("DELETE FROM trials", "CREATE TABLE mine ()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run("dashboard", "optuna", statement)
    for role, database in (("lockstep", "mlflow"), ("dashboard", "mlflow"), ("mlflow", "optuna")):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            run(role, database, "SELECT 1")
    assert up.content("optuna")
