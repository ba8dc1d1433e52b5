from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import HUNG

import search.study.file_lease as file_lease_module
from search.errors import LockstepError, StudyBusyError
from search.locks import locked
from search.study.file_lease import file_lease

REPOSITORY = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from search.study.file_lease import file_lease
with file_lease(Path(sys.argv[1]), "small"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "driver.lock")],
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_holder_is_refused(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    path = tmp_path / "driver.lock"
    for _ in range(2):  # being refused changes nothing
        with pytest.raises(StudyBusyError) as caught, file_lease(path, "small"):
            pass
        message = str(caught.value)
        assert message.startswith(f"study small is being run by process {holder.pid} on ")
        assert socket.gethostname() in message
        assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: wait for it", message)
        assert len(message.splitlines()) == 1
    assert path.read_bytes()[:1] == b" ", "Windows lets nobody read the first byte"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lease_dies_with_its_holder(
    tmp_path: Path, holder: subprocess.Popen[str], number: signal.Signals
) -> None:
    path = tmp_path / "driver.lock"
    holder.send_signal(number)
    assert holder.wait(timeout=HUNG) == -number
    with file_lease(path, "small"):
        assert str(os.getpid()) in path.read_text()
        assert str(holder.pid) not in path.read_text()


def test_a_lease_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "driver.lock"
    for _ in range(2):
        with file_lease(path, "small"):
            pass
    with pytest.raises(RuntimeError), file_lease(path, "small"):
        raise RuntimeError
    with file_lease(path, "small"):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", '{"pid": 1}', "\x00" * 50])
def test_a_holder_that_did_not_say_who_it_is(
    tmp_path: Path, holder: subprocess.Popen[str], content: str
) -> None:
    path = tmp_path / "driver.lock"
    path.write_text(content)
    with (
        pytest.raises(StudyBusyError, match="run by another process: wait"),
        file_lease(path, "small"),
    ):
        pass


def test_processes_started_under_a_lease_do_not_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "driver.lock"
    with file_lease(path, "small"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with file_lease(path, "small"):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_lease_that_kept_nothing_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "small" / "driver.lock"
    with file_lease(path, "small"):
        pass
    assert list(tmp_path.iterdir()) == []
    with file_lease(path, "small"):
        path.with_name("study.journal").touch()
    assert path.exists()
    (tmp_path / "mine").mkdir()
    with file_lease(tmp_path / "mine" / "driver.lock", "small"):
        pass
    assert (tmp_path / "mine").is_dir(), "it was there before"


def test_a_lease_that_was_removed_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removed the file after another driver had opened it: that one must not think that
    it holds what a third one can make anew."""
    path = tmp_path / "driver.lock"

    def too_late(descriptor: int, path: Path) -> bool:
        path.unlink()
        return locked(descriptor, path)

    monkeypatch.setattr(file_lease_module, "locked", too_late)
    with pytest.raises(StudyBusyError), file_lease(path, "small"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Lustre can be mounted so, and NFS without its lock server: no such disk is at hand."""

    def no_lock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_lock)
    path = tmp_path / "runs" / "small" / "driver.lock"
    with pytest.raises(LockstepError) as caught, file_lease(path, "small"):
        pass
    assert str(path.parent) in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    assert "another disk with --home" in str(caught.value)
    assert not isinstance(caught.value, StudyBusyError)
    assert list(tmp_path.iterdir()) == [], "nothing is written"
