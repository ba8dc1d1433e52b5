from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import LOCKSTEP, environment, lockstep

from search.commands import doctor

SECRETS = {
    "LOCKSTEP_STORAGE": "postgresql+psycopg://me:s3cr%40et@database/optuna",
    "MLFLOW_TRACKING_URI": "http://me:s3cr%40et@mlflow:5000",
    "MLFLOW_TRACKING_PASSWORD": "s3cr@et",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_VERBOSE": "\x1b[31m",
}


def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    finished = subprocess.run(
        [str(LOCKSTEP), "doctor", *arguments],
        cwd=cwd, env=environment() | variables, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return finished


def test_versions_blas_and_variables(tmp_path: Path) -> None:
    finished = run("--json", cwd=tmp_path, **SECRETS)
    found = json.loads(finished.stdout)
    assert found["lockstep"] == version("lockstep")
    assert found["packages"]["numpy"] == np.__version__
    assert found["packages"]["optuna"] == version("optuna")
    assert found["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert found["processor"]
    assert found["cores"]["all"] >= found["cores"]["usable"] >= 1
    assert {each["threads"] for each in found["blas"]} <= {1}, "as OMP_NUM_THREADS says"
    assert found["variables"]["OMP_NUM_THREADS"] == "1"
    assert found["variables"]["LOCKSTEP_STORAGE"].endswith("//me:***@database/optuna")
    for name in ("numpy", *SECRETS):
        assert (name in finished.stderr) == (name != "MLFLOW_TRACKING_PASSWORD")
    assert "s3cr" not in finished.stdout + finished.stderr
    assert "\x1b" not in finished.stderr, "a variable cannot write to the terminal"
    assert list(tmp_path.iterdir()) == []


def test_for_people(tmp_path: Path) -> None:
    out = run(cwd=tmp_path).stdout
    assert f"Lockstep   {version('lockstep')}\n" in out
    assert "home       runs: not there yet" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_the_version_points_to_it(tmp_path: Path) -> None:
    finished = lockstep("--version", cwd=tmp_path)
    assert finished.code == 0
    assert finished.out.startswith(f"lockstep {version('lockstep')} ")
    assert "lockstep doctor" in finished.out


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    found = doctor.examine(tmp_path)
    assert found["packages"] == {"numpy": np.__version__, "no-such-package": None}
    assert "missing    no-such-package\n" in doctor.summary(found)


def test_a_numpy_that_cannot_be_imported(tmp_path: Path) -> None:
    """As on a processor that it was not built for."""
    (tmp_path / "numpy.py").write_text("raise RuntimeError('this processor\\nis too old')\n")
    code = (
        "import json, pathlib; from search.commands import doctor\n"
        "found = doctor.examine(pathlib.Path('runs'))\n"
        "print(doctor.summary(found)); print(json.dumps(found))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment(), text=True, capture_output=True, check=True,
    )  # fmt: skip
    found = json.loads(finished.stdout.splitlines()[-1])
    assert found["blas"] == "unknown (RuntimeError: this processor)"
    assert "BLAS       unknown (RuntimeError: this processor)\n" in finished.stdout
    assert found["packages"]["scipy"] == version("scipy")


@pytest.mark.parametrize(
    ("home", "state"),
    [
        ("", "there, writable"),
        ("runs", "writable"),
        ("file", "there, not writable (Not a directory)"),
        ("file/runs", "not writable (Not a directory)"),
        ("x" * 300, "unknown (OSError"),
    ],
)
def test_homes(tmp_path: Path, home: str, state: str) -> None:
    (tmp_path / "file").touch()
    found: dict[str, Any] = doctor.examine(tmp_path / home)
    assert state in found["home"]["state"]
    assert found["home"]["state"] in doctor.summary(found)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_it_is_quick() -> None:
    """None of the packages that take seconds to import is imported."""
    code = (
        "import pathlib, sys; from search.commands import doctor\n"
        "doctor.examine(pathlib.Path('runs'))\n"
        "slow = {'optuna', 'mlflow', 'sklearn', 'pandas', 'matplotlib', 'distributed', 'torch'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
