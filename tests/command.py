"""Run the real command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warm

REPOSITORY = Path(__file__).parent.parent
LOCKSTEP = Path(sys.executable).with_name("lockstep")
Process = warm.Process | subprocess.Popen[str]
HUNG = 600  # seconds: a process that lasts longer hangs, however busy the machine is


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


def environment() -> dict[str, str]:
    """Nothing of the caller's settings may reach the command."""
    ours = ("MLFLOW_", "LOCKSTEP_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


def start(
    *arguments: str,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    new_group: bool = False,
    cold: bool = False,
    limits: Mapping[int, int] = warm.NO_LIMITS,
    namespace: int | None = None,
    warm_children: bool = False,
    warm_server: bool = False,
) -> Process:
    """Start the command line.

    variables: of the environment, beside the usual ones; new_group: of processes, that can be
    looked through and killed; cold: as a user starts it, with everything still to be imported;
    limits, namespace, warm_children, warm_server: see `warm.start`, none for a cold one.
    """
    everything = environment() | dict(variables or {})
    if cold:
        return subprocess.Popen(
            [str(LOCKSTEP), *arguments],
            cwd=cwd,
            env=everything,
            text=True,
            stdout=stdout,
            stderr=stderr,
            start_new_session=new_group,
        )
    return warm.start(
        LOCKSTEP,
        arguments,
        cwd=cwd,
        environment=everything,
        stdout=stdout,
        stderr=stderr,
        new_group=new_group,
        limits=limits,
        namespace=namespace,
        warm_children=warm_children,
        warm_server=warm_server,
    )


def python_script(
    script: Path, *arguments: str, cwd: Path, warm_children: bool = False
) -> Finished:
    """Run another script of Python's, such as MLflow's command line, as `lockstep` runs ours."""
    process = warm.start(
        script, arguments, cwd=cwd, environment=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, new_group=False, warm_children=warm_children,
    )  # fmt: skip
    out, err = process.communicate(timeout=HUNG)
    return Finished(process.returncode, out, err)


def lockstep(
    *arguments: str,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    limits: Mapping[int, int] = warm.NO_LIMITS,
    namespace: int | None = None,
    timeout: float = HUNG,
    warm_children: bool = False,
) -> Finished:
    process = start(
        *arguments, cwd=cwd, variables=variables, limits=limits, namespace=namespace,
        warm_children=warm_children,
    )  # fmt: skip
    out, err = process.communicate(timeout=timeout)
    return Finished(process.returncode, out, err)
