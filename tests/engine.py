"""A real Docker Engine, and a checkout whose services are run by it, as README says.

The engine is that of `docker` on the path, or of the folder that LOCKSTEP_DOCKER names: it has a
command `docker`, and `inside` if published ports are to be reached by another command's help.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from command import HUNG, REPOSITORY

FOLDER = os.environ.get("LOCKSTEP_DOCKER", "")
PATH = os.pathsep.join(filter(None, (FOLDER, os.environ["PATH"])))
# What a clone has; the image is built of it, and what is mounted lies in it.
CLONED = (
    "core", "search", "lockstep", "studies", "pyproject.toml", "requirements.lock", "README.md",
    "LICENSE", "Dockerfile", "docker-compose.yml", ".dockerignore", ".env.example",
)  # fmt: skip
_GET = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=30).read().decode())"
_PORT = "import socket; print(socket.create_server(('127.0.0.1', 0)).getsockname()[1])"


@cache
def why_none() -> str | None:
    """Why no engine can be used here, None if one can."""
    if shutil.which("docker", path=PATH) is None:
        return "there is no docker on the path, nor in the folder LOCKSTEP_DOCKER"
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        done = _run(command, REPOSITORY, {})
        if done.returncode:
            return f"no Docker Engine answers here: {done.stderr.strip().splitlines()[-1:]}"
    return None


def _run(
    command: list[str], cwd: Path, variables: Mapping[str, str], **options: Any
) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command[0], path=PATH)
    assert program is not None, command[0]
    return subprocess.run(
        [program, *command[1:]], cwd=cwd, env=os.environ | {"PATH": PATH} | dict(variables),
        capture_output=True, text=True, timeout=HUNG, check=False, **options,
    )  # fmt: skip


def inside(*command: str) -> list[str]:
    """A command that reaches the published ports."""
    within = shutil.which("inside", path=FOLDER) if FOLDER else None
    return [within, *command] if within else list(command)


@dataclass
class Project:
    """A clone in a folder of its own, with containers, volumes and ports of its own."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def cloned(cls, folder: Path) -> Project:
        """Made under an umask that lets nobody else read a file of it."""
        for name in CLONED:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)
        for path in folder.rglob("*"):
            path.chmod(path.stat().st_mode & 0o700)
        project = cls(folder, {"COMPOSE_PROJECT_NAME": f"lockstep-test-{os.getpid()}"})
        for name in ("MLFLOW_PORT", "DASHBOARD_PORT"):
            project.variables[name] = project.reaching(sys.executable, "-c", _PORT).strip()
        return project

    def sh(self, line: str, *, code: int | None = 0) -> str:
        """Run a line of a shell, and return what it prints. code: how it ends, None for anyhow."""
        done = _run(inside("bash", "-c", f"umask 077; {line}"), self.folder, self.variables)
        if code is not None:
            assert done.returncode == code, (line, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def compose(self, words: str, *, code: int | None = 0) -> str:
        return self.sh(f"docker compose {words}", code=code)

    def started(self, words: str) -> subprocess.Popen[str]:
        """Start `docker compose` with these words, and do not wait for it."""
        program = shutil.which("docker", path=PATH)
        assert program is not None
        return subprocess.Popen(
            [program, "compose", *words.split()], cwd=self.folder, text=True,
            env=os.environ | {"PATH": PATH} | self.variables,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def started_here(self, *command: str) -> subprocess.Popen[str]:
        """Start a program where the published ports are."""
        return subprocess.Popen(inside(*command), text=True, stdout=subprocess.PIPE)

    def lockstep(self, words: str) -> Any:
        """Run a command of Lockstep with --json, and return its object."""
        printed = self.compose(f"run --rm --no-TTY lockstep {words} --json 2> errors")
        return json.loads(printed.splitlines()[-1])

    def containers(self) -> dict[str, tuple[str, str]]:
        """Of the services that run: the container and since when it runs, by its name."""
        ids = self.compose("ps --quiet").split()
        found = json.loads(self.sh(f"docker inspect {' '.join(ids)}"))
        return {
            re.sub(".*?-test-\\d+-", "", each["Name"]): (each["Id"], each["State"]["StartedAt"])
            for each in found
        }

    def reaching(self, *command: str) -> str:
        done = _run(inside(*command), self.folder, {})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, url: str) -> str:
        """What a browser here would be answered."""
        return self.reaching(sys.executable, "-c", _GET, url)

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.variables['MLFLOW_PORT']}"

    def sql(self, database: str, statement: str) -> str:
        return self.compose(
            f"exec -T postgres psql -qAt --username=postgres --dbname={database} "
            f'--command="{statement}"'
        ).strip()

    def kill(self, service: str, index: int = 1) -> None:
        """Kill -9 of all processes of a service; its container ends, as after a crash."""
        before = self.sh(f"docker inspect -f {{{{.RestartCount}}}} {self.id(service, index)}")
        self.compose(f"exec -T --index={index} {service} sh -c 'kill -9 -1'", code=None)
        deadline = time.monotonic() + 60
        while self.sh(
            f"docker inspect -f {{{{.RestartCount}}}} {self.id(service, index)}"
        ) == before:  # fmt: skip
            assert time.monotonic() < deadline, f"{service} was not started again"
            time.sleep(0.2)

    def wait_healthy(self, service: str, index: int = 1) -> None:
        """By its own check, which looks often after a start."""
        asked, deadline = "docker inspect -f {{.State.Health.Status}}", time.monotonic() + 120
        while self.sh(f"{asked} {self.id(service, index)}").strip() != "healthy":
            assert time.monotonic() < deadline, f"{service} is not healthy again"
            time.sleep(0.3)

    def id(self, service: str, index: int = 1) -> str:
        found = self.sh(
            "docker ps --all --quiet"
            f" --filter label=com.docker.compose.project={self.variables['COMPOSE_PROJECT_NAME']}"
            f" --filter label=com.docker.compose.service={service}"
            f" --filter label=com.docker.compose.container-number={index}"
        )
        return found.strip()

    def remove(self) -> None:
        self.compose("--profile command down --volumes --remove-orphans --timeout 5", code=None)


needs_engine = pytest.mark.skipif(why_none() is not None, reason=str(why_none()))
