from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from command import lockstep
from services import free_port
from small_study import write_study

from search.errors import LockstepError
from search.training.dask_cluster import check_address, exposure

pytest.importorskip("distributed", reason="Dask is not installed: lockstep[cluster]")

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "address", ["local", "tcp://scheduler:8786", "tls://10.0.0.1:8786", "tcp://[::1]:8786"]
)
def test_addresses(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "address",
    ["", "scheduler:8786", "http://scheduler:8786", "tcp://scheduler", "Local", "tcp://:1"],
)
def test_no_addresses(address: str) -> None:
    with pytest.raises(LockstepError, match=r"give `local`, or a Dask scheduler's address"):
        check_address(address)


@pytest.mark.parametrize(
    "address",
    ["local", "tcp://127.0.0.1:8786", "tcp://127.1.2.3:8786", "tcp://[::1]:8786"]
    + ["tcp://localhost:8786", "tls://scheduler:8786"],
)
def test_a_scheduler_that_nobody_else_reaches(address: str) -> None:
    assert exposure(address) is None


@pytest.mark.parametrize(
    "address", ["tcp://scheduler:8786", "tcp://10.0.0.1:8786", "tcp://[fe80::1]:8786"]
)
def test_what_an_open_scheduler_means(address: str) -> None:
    assert "can run code as the user of the workers" in str(exposure(address))


def refused(tmp_path: Path, address: str) -> str:
    began = time.monotonic()
    finished = lockstep("launch", str(write_study(tmp_path)), "--cluster", address, cwd=tmp_path)
    assert finished.code == 2, finished.err
    assert time.monotonic() - began < 100, "--patience would be longer"
    assert len(finished.err.strip().splitlines()) == 1, finished.err
    return finished.err


def test_an_unreachable_scheduler_is_one_sentence(tmp_path: Path) -> None:
    sentence = refused(tmp_path, f"tcp://127.0.0.1:{free_port()}")
    assert re.search(
        r"cannot be reached \(Timed out .*is a Dask scheduler running there\?", sentence
    )


def test_tls_that_is_not_configured(tmp_path: Path) -> None:
    assert "TLS is not configured" in refused(tmp_path, f"tls://127.0.0.1:{free_port()}")


def test_something_else_that_listens(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sentence = refused(tmp_path, f"tcp://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    assert "cannot be reached" in sentence


@contextlib.contextmanager
def scheduler(*worker: str) -> Iterator[str]:
    """A scheduler, and one worker that this command line starts."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    commands = [
        [str(BIN / "dask"), "scheduler", "--host=127.0.0.1", f"--port={port}",
         "--dashboard-address=127.0.0.1:0"],
        [*worker, address, "--nthreads=1", "--no-nanny", "--dashboard-address=127.0.0.1:0"],
    ]  # fmt: skip
    started = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        yield address
    finally:
        for process in started:
            process.kill()
            process.wait()


BARE = """
import importlib.metadata as m, sys
found = m.Distribution.from_name
def without(name):
    if name == "lockstep":
        raise m.PackageNotFoundError(name)
    return found(name)
m.Distribution.from_name = staticmethod(without)
from distributed.cli.dask_worker import main
main()
"""
OTHER_NUMPY = """
import importlib.metadata as m
found = m.version
m.version = lambda name: "1.0" if name == "numpy" else found(name)
import numpy
numpy.__version__ = "1.0"
from distributed.cli.dask_worker import main
main()
"""


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (BARE, "has lockstep missing, the driver has"),
        (OTHER_NUMPY, "has numpy 1.0, the driver has"),
    ],
    ids=["no package", "another numpy"],
)
def test_workers_that_do_not_fit(tmp_path: Path, script: str, sentence: str) -> None:
    file = tmp_path / "worker.py"
    file.write_text(script)
    with scheduler(sys.executable, str(file)) as address:
        assert sentence in refused(tmp_path, address)
