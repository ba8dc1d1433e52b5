"""What is forked for a command that starts Python's modules is what the command asked for."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import ready_store
import standby
import warm
from command import HUNG, environment

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="nothing stands by elsewhere"),
    pytest.mark.xdist_group("ui"),  # whose commands are forked with MLflow's server
]

STARTING = """
import os, subprocess, sys, time

variables = os.environ | {"MLFLOW_TRACKING_URI": sys.argv[1]}
with open("said", "w") as said:
    first = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "experiments", "search"],
        env=variables, stdout=said, start_new_session=True,
    )
    second = subprocess.Popen([sys.executable, "-m", "uvicorn", "--nonsense"], stderr=said)
deadline = time.monotonic() + 60
while os.getsid(first.pid) != first.pid and time.monotonic() < deadline:
    time.sleep(0.01)
for started in (first, second):  # nothing stands by for the second
    own = os.getsid(started.pid) == started.pid
    print(isinstance(started, subprocess.Popen), own, started.wait(), started.poll())
"""


def test_a_module_is_forked_as_it_was_asked_for(tmp_path: Path) -> None:
    """With these variables, this stream, a session of its own; the next is started as ever."""
    (tmp_path / "starting.py").write_text(STARTING)
    ready_store.copy_to(tmp_path / "asked.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "asked.db")) as store, store:
        store.execute("UPDATE experiments SET name = 'asked for'")
    process = warm.start(
        tmp_path / "starting.py", [f"sqlite:///{tmp_path}/asked.db"], cwd=tmp_path,
        environment=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, new_group=False,
        warm_server=True,
    )  # fmt: skip
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 0, err
    assert out.splitlines() == ["False True 0 0", "True False 2 2"], err
    said = (tmp_path / "said").read_text()
    assert "asked for" in said
    assert "No such option" in said


@pytest.mark.parametrize("sent", [b"", (9).to_bytes(4, "big"), (9).to_bytes(4, "big") + b"{}"])
def test_who_is_killed_while_it_asks_is_not_waited_for(sent: bytes) -> None:
    """What stands by ends then, instead of asking for the rest for ever."""
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            socket.send_fds(ours, [sent], [1, 2])
        before = len(os.listdir("/proc/self/fd"))
        assert standby.received(theirs) is None
        assert len(os.listdir("/proc/self/fd")) == before, "nothing stays open"
