"""studies/services/set-up makes what is missing, and says in one sentence what is in the way.

Docker is replaced by a program that says what Docker would; `test_docker.py` has a real one.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from command import REPOSITORY

ROLES = ("lockstep", "mlflow", "dashboard")
_DOCKER = """#!/bin/sh
case "$*" in
"compose version --short") echo {compose} ;;
version) exit {engine} ;;
info*) echo '[{security}]' ;;
"compose port mlflow 5000") echo {published} ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what set-up reads."""
    (tmp_path / "studies/services").mkdir(parents=True)
    shutil.copy(REPOSITORY / "studies/services/set-up", tmp_path / "studies/services")
    shutil.copy(REPOSITORY / ".env.example", tmp_path)
    return tmp_path


def free() -> dict[str, str]:
    """Ports for both pages that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        ports = [str(each.getsockname()[1]) for each in (one, other)]
    return dict(zip(("MLFLOW_PORT", "DASHBOARD_PORT"), ports, strict=True))


def set_up(
    clone: Path, variables: dict[str, str] | None = None, umask: str = "022", *,
    docker: bool = True, compose: str = "2.40.3-3", engine: int = 0, security: str = "",
    published: str = "",
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    programs = clone / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("bash", "sort", "head", "tail", "sed", "grep", "ls", "awk", "od", "tr", "chmod",
                 "chown", "id", "mkdir", "mv", "cp", "dirname"):  # fmt: skip
        found = shutil.which(name)
        assert found is not None
        if not (programs / name).exists():
            (programs / name).symlink_to(found)
    (programs / "docker").unlink(missing_ok=True)
    if docker:
        text = _DOCKER.format(
            compose=compose, engine=engine, security=security, published=published
        )
        (programs / "docker").write_text(text)
        (programs / "docker").chmod(0o755)
    return subprocess.run(
        [str(programs / "bash"), "-c", f"umask {umask}; studies/services/set-up"],
        cwd=clone, env={"PATH": str(programs)} | free() | (variables or {}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence."""
    assert done.returncode == 2, done
    assert not [line for line in done.stdout.splitlines() if "ready" in line]
    (line,) = done.stderr.splitlines()
    assert line.startswith("set-up: ")
    return line


@pytest.mark.parametrize("umask", ["022", "077", "000"])
def test_what_is_made_and_kept(clone: Path, umask: str) -> None:
    """Settings and passwords that nobody else reads, but the services their own; nothing twice."""
    first = set_up(clone, umask=umask)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1].startswith("set-up: ready")
    passwords = {role: (clone / "secrets" / role).read_text() for role in ROLES}
    assert len(set(passwords.values())) == len(ROLES)
    assert all(len(password) == 48 for password in passwords.values())
    modes = {".env": 0o600, "secrets": 0o700, "runs": 0o700} | {
        f"secrets/{r}": 0o444 for r in ROLES
    }
    for name, mode in modes.items():
        assert (clone / name).stat().st_mode & 0o777 == mode, name
    assert f"\nRUN_AS={clone.stat().st_uid}:{clone.stat().st_gid}\n" in (clone / ".env").read_text()
    with (clone / ".env").open("a") as file:
        file.write("WORKERS=4\n")
    settings = (clone / ".env").read_text()
    again = set_up(clone, umask=umask)
    assert again.stdout.count("\n") == 1
    assert (clone / ".env").read_text() == settings
    assert passwords == {role: (clone / "secrets" / role).read_text() for role in ROLES}


def test_what_is_missing_is_made_again(clone: Path) -> None:
    (clone / ".env").write_text("POSTGRES_PASSWORD=of-an-earlier-file\n")
    (clone / ".env").chmod(0o644)
    assert set_up(clone).returncode == 0
    assert "RUN_AS=" in (clone / ".env").read_text()
    assert (clone / ".env").stat().st_mode & 0o077 == 0
    kept = (clone / "secrets/mlflow").read_text()
    (clone / "secrets/lockstep").unlink()
    assert set_up(clone).returncode == 0
    assert len((clone / "secrets/lockstep").read_text()) == 48
    assert (clone / "secrets/mlflow").read_text() == kept


def test_an_engine_without_root(clone: Path) -> None:
    """Its root is the user, whose files these are."""
    assert set_up(clone, security="name=seccomp,profile=builtin name=rootless").returncode == 0
    assert "RUN_AS=0:0\n" in (clone / ".env").read_text()


def test_no_docker(clone: Path) -> None:
    assert "there is no Docker here: install it" in refusal(set_up(clone, docker=False))
    assert "has no Compose plugin" in refusal(set_up(clone, compose=">&2; exit 1"))
    assert "no Docker Engine answers: start it" in refusal(set_up(clone, engine=1))
    assert not (clone / ".env").exists()


@pytest.mark.parametrize(
    ("version", "fits"),
    [("1.29.2", False), ("2.9.0", False), ("v2.25.9", False), ("2.26.0", True),
     ("v2.26.1-4", True), ("2.100.0", True), ("5.0.0", True)],
)  # fmt: skip
def test_the_oldest_compose(clone: Path, version: str, fits: bool) -> None:
    done = set_up(clone, compose=version)
    if fits:
        assert done.returncode == 0, done.stderr
    else:
        assert f"Compose {version} is too old: install 2.26.0 or later" in refusal(done)


def test_a_missing_data_folder(clone: Path) -> None:
    set_up(clone)
    with (clone / ".env").open("a") as file:
        file.write('DATA_DIR="./my mnist"\n')
    said = refusal(set_up(clone))
    assert "DATA_DIR=./my mnist: there is no such folder: make it" in said
    (clone / "my mnist").mkdir()
    assert set_up(clone).returncode == 0
    assert "./other" in refusal(set_up(clone, {"DATA_DIR": "./other"})), "as Compose takes it"


@pytest.mark.parametrize("workers", ["0", "four", "-1", "2.5"])
def test_no_number_of_workers(clone: Path, workers: str) -> None:
    assert f"WORKERS={workers}: give a number" in refusal(set_up(clone, {"WORKERS": workers}))


def test_a_taken_port(clone: Path) -> None:
    """One that our own service has is not taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        said = refusal(set_up(clone, {"MLFLOW_PORT": port}))
        assert f"port {port}, for the page of mlflow, is taken by another program" in said
        assert "MLFLOW_PORT=" in said
        ours = set_up(clone, {"MLFLOW_PORT": port}, published=f"127.0.0.1:{port}")
        assert ours.returncode == 0, ours.stderr
    assert "give the number of a port" in refusal(set_up(clone, {"DASHBOARD_PORT": "http"}))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_runs_of_somebody_else(clone: Path) -> None:
    (clone / "runs").mkdir(mode=0o500)
    assert "runs cannot be written" in refusal(set_up(clone))


def test_what_the_page_links_to_is_there() -> None:
    page = REPOSITORY / "studies/services/README.md"
    text = page.read_text()
    found = re.findall(r"^## (.+)$", text, re.MULTILINE)
    headings = [re.sub("[^a-z ]", "", each.lower()).replace(" ", "-") for each in found]
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (page.parent / target).exists(), target
