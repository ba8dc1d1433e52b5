"""What SECURITY.md says of names, secrets, sockets and models."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command import HUNG, environment, lockstep, start
from listening import LOOPBACK, listening
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


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux who listens")
def test_only_this_machine_is_listened_to(tmp_path: Path) -> None:
    """By a Dask cluster of the launch's own; `test_ui.py` looks at the UI."""
    path = write_study(tmp_path, small_study(batch_size=[16]))
    process = start("launch", str(path), "--cluster", "local", cwd=tmp_path, new_group=True)
    try:
        seen: set[str] = set()
        ends = time.monotonic() + HUNG
        while process.poll() is None and time.monotonic() < ends:
            found = listening(process.pid)
            if found and not seen:
                ends = time.monotonic() + 3  # for those that come later
            seen |= found
            time.sleep(0.2)
        assert seen == {LOOPBACK}
    finally:
        process.terminate()
        process.communicate(timeout=HUNG)
