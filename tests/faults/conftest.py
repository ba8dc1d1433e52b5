"""A command that must be refused: run in this process, which takes milliseconds, and looked at."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from search.cli import run as run_command

Refused = Callable[..., str]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and folder below, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """Run a command in the test's folder: exit code 2, one sentence, nothing written. Returns the
    sentence."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "LOCKSTEP_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        before = tree(tmp_path)
        monkeypatch.setattr(sys, "argv", ["lockstep", *arguments])
        code = run_command()
        out, err = capsys.readouterr()
        assert code == 2, err
        (line,) = err.splitlines()
        assert line.startswith("lockstep: ")
        assert line.isprintable()
        assert len(line) < 700
        assert tree(tmp_path) == before, "nothing is written"
        for password in ("s3cr%40et", "s3cr@et"):
            assert password not in out + err
        return line

    return run
