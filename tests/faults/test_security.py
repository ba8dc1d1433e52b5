"""What SECURITY.md says of names, secrets, sockets and models."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command import HUNG, environment, lockstep, start
from loading import load
from small_study import small_study, write_study

ODD_NAMES = [
    "../../../escaped", "/tmp/escaped", "..", ".", "-rf", "$(touch escaped)", "`touch escaped`",
    "a/b", "a\\b", "<img src=x onerror=alert(1)>", "%2e%2e%2fescaped", "{}", "%s", "con", "~",
]  # fmt: skip


def test_class_names_reach_no_file_outside(tmp_path: Path) -> None:
    """Labels come from the data file, whoever made that. They are drawn, logged, used in names of
    images, and in the model that is registered."""
    folder = tmp_path / "a" / "b" / "c" / "d"
    folder.mkdir(parents=True)
    y = np.repeat(ODD_NAMES, 12)
    X = np.random.default_rng(0).random((len(y), 6)).astype(np.float32)
    np.savez(folder / "mine.npz", X=X, y=y, image_shape=[2, 3])
    text = small_study(
        source="mine.npz", classes=None, learning_rate=[0.1], weight_decay=[0.1], batch_size=[16]
    )
    path = write_study(folder, text)
    for command in (["launch"], ["retrain", "--seeds", "0"]):
        finished = lockstep(command[0], str(path), *command[1:], cwd=folder)
        assert finished.code == 0, finished.err
    assert {each.name for each in folder.iterdir()} == {"mine.npz", "study.toml", "runs"}
    for above in folder.parents[:4]:
        assert len(list(above.iterdir())) == 1, above
    assert not list(tmp_path.rglob("*escaped"))
    for file in (folder / "runs").rglob("*"):
        assert file.resolve().is_relative_to(folder / "runs")
    # And the model can be loaded without unpickling anything.
    models = [file for file in (folder / "runs" / "artifacts").rglob("*") if file.is_file()]
    assert any(file.name == "MLmodel" for file in models)
    for file in models:
        assert file.suffix not in (".pkl", ".pickle", ".joblib", ".dill"), file
        assert not file.read_bytes().startswith((b"\x80\x03", b"\x80\x04", b"\x80\x05")), file


def test_archives_are_not_unpacked(tmp_path: Path) -> None:
    """A member's name is compared, never used as a path."""
    path = tmp_path / "mine.npz"
    np.savez(path, X=np.eye(4), y=np.array([0, 1, 0, 1]))
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("../escaped.npy", "/escaped.npy", "a/../../escaped.npy", "X.npy/../escaped"):
            archive.writestr(name, b"escaped")
    train, _ = load(str(path), None, None, lambda said: None)
    assert train.class_names == ("0", "1")
    assert [each.name for each in tmp_path.iterdir()] == ["mine.npz"]
    assert not list(tmp_path.parent.glob("escaped*"))


CRASHING = """
import sys
from urllib.parse import unquote
from search import cli
from search.commands import launch

def crash(spec, settings, console):
    try:
        raise ConnectionError(f"no way to {settings.tracking_uri}")
    except ConnectionError as error:
        raise RuntimeError(f"as {settings.storage}, that is {unquote(settings.storage)}") from error

launch.launch = crash
sys.argv = ["lockstep", *sys.argv[1:]]
cli.main()
"""


STORAGE, TRACKING = "postgresql://me:s3cr%40et@host/db", "https://you:0ther@host:5000"


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        ([f"--storage={STORAGE}", f"--tracking-uri={TRACKING}"], {}),
        ([], {"LOCKSTEP_STORAGE": STORAGE, "MLFLOW_TRACKING_URI": TRACKING}),
    ],
    ids=["options", "variables"],
)
def test_a_crash_shows_no_password(
    tmp_path: Path, options: list[str], variables: dict[str, str]
) -> None:
    """By a mistake of ours in the middle of a command; two libraries have quoted the URLs."""
    path = write_study(tmp_path)
    before = set(tmp_path.rglob("*"))
    crashed = subprocess.run(
        [sys.executable, "-c", CRASHING, "launch", str(path), "--home=runs", *options],
        cwd=tmp_path, env=environment() | variables, capture_output=True, text=True, timeout=HUNG,
    )  # fmt: skip
    assert crashed.returncode == 1
    assert "no way to https://you:***@host:5000" in crashed.stderr, "it is a traceback to be read"
    place = "postgresql://me:***@host/db"
    assert f"as {place}, that is {place}" in crashed.stderr
    written = [file.read_text() for file in set(tmp_path.rglob("*")) - before if file.is_file()]
    for text in (crashed.stderr, crashed.stdout, *written):
        for secret in ("s3cr%40et", "s3cr@et", "0ther"):
            assert secret not in text


def listening(group: int) -> set[str]:
    """Addresses, in hexadecimal as the kernel has them, on which a process group listens."""
    inodes = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rsplit(") ", 1)[1].split()[2]) == group:
                for descriptor in stat.with_name("fd").iterdir():
                    with contextlib.suppress(OSError):
                        inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(descriptor)))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].split(":")[0])
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux who listens")
def test_only_this_machine_is_listened_to(tmp_path: Path) -> None:
    """A Dask cluster of the launch's own, and the UI."""
    path = write_study(tmp_path, small_study(batch_size=[16]))
    assert lockstep("launch", str(path), cwd=tmp_path).code == 0
    (tmp_path / "other").mkdir()
    for command in (
        ["launch", str(path), "--cluster", "local", "--home", "other"],
        ["ui", str(path), "--no-browser"],
    ):
        process = start(*command, cwd=tmp_path, new_group=True)
        try:
            seen: set[str] = set()
            ends = time.monotonic() + HUNG
            while process.poll() is None and time.monotonic() < ends:
                for group in [process.pid, *servers_of(process.pid)]:
                    found = listening(group)
                    if found and not seen:
                        ends = time.monotonic() + 3  # for those that come later
                    seen |= found
                time.sleep(0.2)
            assert seen == {"0100007F"}, "127.0.0.1"
        finally:
            process.terminate()
            process.communicate(timeout=HUNG)


def servers_of(pid: int) -> list[int]:
    """Children that lead a group of their own, as the UI's server does."""
    with contextlib.suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
