"""README's commands through a real Docker Engine, where there is one: see `engine.py`.

The tests are steps of one story: the services are started once, and stay up.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command import REPOSITORY
from engine import Project, needs_engine
from small_study import Options, small_study, write_study

pytestmark = [needs_engine, pytest.mark.xdist_group("docker"), pytest.mark.timeout(1800)]

# Many stacks of seconds each, so that much can happen while they train and are recorded.
LONGER: Options = {
    "epochs": 2400,
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True, "points": 2},
    "weight_decay": [1e-6],
    "batch_size": list(range(8, 32)),
}
CONFIGURATIONS = 48


def lines(page: Path, heading: str) -> list[str]:
    """The shell commands of the first block below a heading, a line each, without comments."""
    text = page.read_text().split(f"\n## {heading}\n", 1)[1]
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[:1]
    return [line.split("  #")[0].strip() for line in block.splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A clone whose services run: README's commands, with four workers."""
    project = Project.cloned(tmp_path_factory.mktemp("clone"))
    set_up, up, _ = lines(REPOSITORY / "README.md", "Beyond one machine")
    try:
        project.sh(set_up)
        settings = project.folder / ".env"
        settings.write_text(settings.read_text().replace("#WORKERS=2", "WORKERS=4"))
        project.sh(up)
        yield project
    finally:
        project.remove()


def test_readmes_commands_give_a_finished_study(project: Project) -> None:
    """With compare, retrain, predict, sync and links that open here."""
    names = {f"worker-{n}" for n in range(1, 5)}
    names |= {f"{name}-1" for name in ("postgres", "mlflow", "dashboard", "scheduler")}
    assert set(project.containers()) == names
    *_, launch = lines(REPOSITORY / "README.md", "Beyond one machine")
    printed = project.sh(launch)
    assert "cluster 4 workers" in printed
    assert "168 trials (168 completed)" in printed
    assert (project.folder / "runs/digits-3v6/figures/heat_maps.png").is_file()
    compared = project.compose("run --rm -T lockstep compare digits-3v6")
    assert "start the MLflow UI first" not in compared
    retrained = project.compose("run --rm -T lockstep retrain digits-3v6")
    assert "models:/digits-3v6/1: champion" in retrained
    np.savez(project.folder / "studies/rows.npz", X=np.zeros((2, 64), np.float32))
    predicted = project.compose("run --rm -T lockstep predict digits-3v6 studies/rows.npz")
    assert "rows.npz" in predicted
    assert "0 of 168 runs" in project.compose("run --rm -T lockstep sync digits-3v6")
    links = re.findall(
        r"http://\S+", compared + project.compose("run --rm -T lockstep ui digits-3v6")
    )
    assert links
    for link in links:
        assert link.startswith(f"{project.mlflow}/#/experiments/1/")
    assert "<title>MLflow</title>" in project.get(links[0])
    dashboard = f"http://127.0.0.1:{project.variables['DASHBOARD_PORT']}"
    (study,) = json.loads(project.get(f"{dashboard}/api/studies"))["study_summaries"]
    assert study["study_name"] == "digits-3v6"


def test_a_study_file_is_written_and_its_data_found(project: Project) -> None:
    (project.folder / "studies/mine.csv").write_text(
        "a,b,label\n" + "".join(f"{n % 7},{n % 5},{'xy'[n % 2]}\n" for n in range(60))
    )
    project.compose("run --rm -T lockstep init studies/mine.csv --output studies/mine.toml")
    assert (project.folder / "studies/mine.toml").is_file()


def test_repeating_recreates_nothing(project: Project) -> None:
    """Whichever command is given again, and however many workers were asked for."""
    before = project.containers()
    assert len(before) == 8
    set_up, up, launch = lines(REPOSITORY / "README.md", "Beyond one machine")
    files = {name: (project.folder / name).read_text() for name in (".env", "secrets/mlflow")}
    assert "made" not in project.sh(set_up)
    assert files == {name: (project.folder / name).read_text() for name in files}
    for line in (up, launch, "docker compose up --detach --wait"):
        project.sh(line)
        assert project.containers() == before, line
    images = project.sh("docker images --quiet lockstep:0.1.0 | sort -u").split()
    assert len(images) == 1


def test_scaling_leaves_all_else_alone(project: Project) -> None:
    before = project.containers()
    settings = project.folder / ".env"
    for workers in ("5", "4"):
        settings.write_text(re.sub(r"WORKERS=\d", f"WORKERS={workers}", settings.read_text()))
        project.compose("up --detach --wait")
        after = project.containers()
        assert len(after) == 4 + int(workers)
        assert {name: after[name] for name in before} == before


def test_an_edit_of_what_people_edit_is_no_new_image(project: Project) -> None:
    before = project.sh("docker images --quiet lockstep:0.1.0")
    with (project.folder / "README.md").open("a") as file:
        file.write("\nOne more line.\n")
    project.compose("build")
    assert project.sh("docker images --quiet lockstep:0.1.0") == before
    with (project.folder / "core/__init__.py").open("a") as file:
        file.write("\n# An edit of the project, which leaves its packages as they are.\n")
    printed = project.sh("docker compose --progress=plain build 2>&1")
    (step,) = re.findall(r"#(\d+) \[.*pip install --require-hashes", printed)
    assert f"#{step} CACHED" in printed
    shutil.copy(REPOSITORY / "core/__init__.py", project.folder / "core/__init__.py")
    project.compose("build")
    assert project.sh("docker images --quiet lockstep:0.1.0") == before


def test_what_a_container_may_do(project: Project) -> None:
    """Nothing, but to write where it must."""
    look = "id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; touch /new 2>&1"
    for service in ("postgres", "mlflow", "dashboard", "scheduler", "worker"):
        printed = project.compose(f'exec -T {service} sh -c "{look}"', code=None)
        assert re.search(r"^CapEff:\s+0+$", printed, re.MULTILINE), service
        assert re.search(r"^NoNewPrivs:\s+1$", printed, re.MULTILINE), service
        assert "Read-only file system" in printed, service
        assert printed.split()[0] != "0", service
        secrets = {name: (project.folder / "secrets" / name).read_text() for name in ("lockstep",)}
        described = project.sh(f"docker inspect {project.id(service)}")
        for secret in secrets.values():
            assert secret not in described, service
    assert (project.folder / "secrets").stat().st_mode & 0o777 == 0o700
    assert (project.folder / ".env").stat().st_mode & 0o777 == 0o600
    beyond = "import socket; socket.create_connection(('postgres', 5432), timeout=3)"
    assert "name resolution" in project.compose(f'exec -T worker python -c "{beyond}"', code=1)


def test_checks_see_what_can_fail(project: Project) -> None:
    """Each service's own check, while a database of its is closed, or the scheduler is stopped."""

    def check(service: str) -> int:
        words = json.loads(
            project.sh(
                f"docker inspect -f '{{{{json .Config.Healthcheck.Test}}}}' {project.id(service)}"
            )
        )[1:]
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
        printed = project.compose(f"exec -T {service} {quoted}; echo ended $?", code=None)
        return int(re.findall(r"^ended (\d+)$", printed, re.MULTILINE)[0])

    for service in ("postgres", "mlflow", "dashboard", "scheduler", "worker"):
        assert check(service) == 0, service
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{0}'"
    for service, database in (("mlflow", "mlflow"), ("dashboard", "optuna")):
        project.sql("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        project.sql("postgres", end.format(database))
        assert check(service) != 0, service
        project.sql("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        assert check(service) == 0, service
    project.compose("stop scheduler")
    assert check("worker") != 0
    project.compose("up --detach --wait")
    assert check("worker") == 0


def test_whatever_is_killed_every_configuration_is_there_once(project: Project) -> None:
    """Each service, and the driver; the same command ends what it began."""
    study = "killed"
    path = write_study(project.folder / "studies", small_study(name=study, **LONGER))
    command = f"run --rm --no-TTY lockstep launch studies/{path.name}"
    count = "SELECT count(*) FROM trials JOIN studies USING (study_id) WHERE study_name = '{}'"
    launch = project.started(command)

    def recorded() -> int:
        return int(project.sql("optuna", count.format(study)))

    def wait_for_more() -> None:
        """Until a trial more is recorded, of a launch that has still others to train."""
        deadline, before = time.monotonic() + 300, recorded()
        while (found := recorded()) == before:
            assert launch.poll() is None, launch.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert found < CONFIGURATIONS, "it was too quick for this test"

    for service in ("worker", "dashboard"):  # Docker starts them again
        wait_for_more()
        index = 2 if service == "worker" else 1
        project.kill(service, index)
        project.wait_healthy(service, index)
    wait_for_more()
    (driver,) = project.sh(
        "docker ps --quiet --filter label=com.docker.compose.oneoff=True"
        f" --filter label=com.docker.compose.project={project.variables['COMPOSE_PROJECT_NAME']}"
    ).split()
    project.sh(f"docker kill --signal=KILL {driver}")
    launch.communicate(timeout=120)
    launch = project.started(command)
    wait_for_more()
    # Docker starts it again, within the 5 s that a launch waits for it, or later; not once stopped.
    project.kill("scheduler")
    project.compose("stop scheduler")
    printed = launch.communicate(timeout=300)[0]
    assert launch.returncode == 2, printed
    assert "the same command continues" in printed
    project.compose("up --detach --wait")
    launch = project.started(command)
    for service in ("postgres", "mlflow"):  # what is trained meanwhile is recorded all at once
        wait_for_more()
        project.kill(service)
        project.wait_healthy(service)
    printed = launch.communicate(timeout=600)[0]
    assert launch.returncode == 0, printed
    ended = project.lockstep(f"launch studies/{path.name}")["trials"]
    assert ended["complete"] == CONFIGURATIONS
    assert recorded() == CONFIGURATIONS
    distinct = (
        "SELECT count(DISTINCT each) FROM (SELECT string_agg(param_name || param_value, ',' ORDER"
        " BY param_name) AS each FROM trial_params JOIN trials USING (trial_id) JOIN studies USING"
        f" (study_id) WHERE study_name = '{study}' GROUP BY trial_id) AS configurations"
    )
    assert int(project.sql("optuna", distinct)) == CONFIGURATIONS
    runs = (
        "SELECT count(*) FROM runs JOIN experiments USING (experiment_id)"
        f" JOIN tags USING (run_uuid)"
        f" WHERE experiments.name = '{study}' AND key = 'lockstep.role' AND value = 'trial'"
        " AND runs.lifecycle_stage = 'active' AND status = 'FINISHED'"
    )
    assert int(project.sql("mlflow", runs)) == CONFIGURATIONS


def test_new_passwords_are_taken_over(project: Project) -> None:
    """By the roles of a volume that was made with others."""
    before = (project.folder / "secrets/mlflow").read_text()
    project.sh("rm -f secrets/*")
    for line in lines(REPOSITORY / "studies/services/README.md", "Passwords"):
        project.sh(line)
    assert (project.folder / "secrets/mlflow").read_text() != before
    assert project.lockstep("compare digits-3v6")["study"] == "digits-3v6"


def test_a_backup_is_worth_something(project: Project) -> None:
    """Restored into empty volumes, it is what was there: numbers, files of runs, the model."""
    page = REPOSITORY / "studies/services/README.md"
    before = project.lockstep("compare digits-3v6")
    for line in lines(page, "Back up and restore"):
        project.sh(line)
    project.compose("down --volumes")
    restore = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)[1].splitlines()
    assert restore[0] == "studies/services/set-up"
    for line in restore:
        project.sh(line)
    assert project.lockstep("compare digits-3v6") == before
    assert "rows.npz" in project.compose("run --rm -T lockstep predict digits-3v6 studies/rows.npz")
    assert "0 of 168 runs" in project.compose("run --rm -T lockstep sync digits-3v6")


def test_what_is_in_the_way_is_one_sentence(project: Project) -> None:
    """From set-up, before anything is started; what Compose says itself names the place, too."""
    taken = project.started_here(
        sys.executable, "-c",
        "import socket, time\ns = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True)\ntime.sleep(600)",
    )  # fmt: skip
    try:
        assert taken.stdout is not None
        port = taken.stdout.readline().strip()
        said = project.sh(f"MLFLOW_PORT={port} studies/services/set-up", code=2)
        assert said.splitlines() == [
            f"set-up: port {port}, for the page of mlflow, is taken by another program: end that, "
            "or write MLFLOW_PORT= and a free one into .env"
        ]
    finally:
        taken.kill()
        taken.communicate()
    said = project.sh("DATA_DIR=./nowhere studies/services/set-up", code=2)
    assert said.startswith("set-up: DATA_DIR=./nowhere: there is no such folder")
    assert len(said.splitlines()) == 1
    said = project.sh("DATA_DIR=./nowhere docker compose run --rm -T lockstep doctor", code=None)
    assert "bind source path does not exist" in said
    assert "nowhere" in said
