"""Completion in a real shell, turned on by the line that README and --help tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command import LOCKSTEP, REPOSITORY, environment
from small_study import small_study

TOLD = 'eval "$(_LOCKSTEP_COMPLETE=bash_source lockstep)"'
# What bash does when Tab is pressed behind these words.
_TAB = """
{told}
compopt() {{ :; }}  # which works only while Tab is pressed
COMP_WORDS=({words}); COMP_CWORD={last}
_lockstep_completion lockstep
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash is installed")


def completed(folder: Path, *words: str) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in words)
    script = _TAB.format(told=TOLD, words=quoted, last=len(words) - 1)
    path = f"{LOCKSTEP.parent}:{environment()['PATH']}"
    finished = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env=environment() | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "studies").mkdir()
    for name in ("one", "other"):
        (tmp_path / "studies" / f"{name}.toml").write_text(small_study(name=name))
    (tmp_path / "runs" / "once").mkdir(parents=True)
    (tmp_path / "runs" / "once" / "launched.toml").touch()
    return tmp_path


def test_commands_and_options(folder: Path) -> None:
    assert completed(folder, "lockstep", "ex") == ["export"]
    assert completed(folder, "lockstep", "launch", "--wor") == ["--workers"]


def test_studies_and_variants(folder: Path) -> None:
    assert completed(folder, "lockstep", "compare", "on") == ["once", "one"]
    assert completed(folder, "lockstep", "launch", "ot") == ["other"]


def test_keys_of_a_study_file(folder: Path) -> None:
    found = completed(folder, "lockstep", "launch", "one", "--set", "space.")
    assert found == ["space.learning_rate=", "space.weight_decay=", "space.batch_size="]
    assert completed(folder, "lockstep", "show", "one", "--set", "model.ep") == ["model.epochs="]


def test_it_is_told(folder: Path) -> None:
    assert TOLD in (REPOSITORY / "README.md").read_text()
    help_text = subprocess.run(
        [str(LOCKSTEP), "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert TOLD in re.sub(r"\s+", " ", help_text)
