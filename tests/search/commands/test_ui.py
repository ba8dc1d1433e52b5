"""`lockstep ui` serves the study's store, and stops without leaving anything behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import HUNG, Process, lockstep, start
from listening import LOOPBACK, listening
from process_groups import descendants, wait_until
from small_study import small_study, write_study

pytestmark = pytest.mark.xdist_group("ui")  # so that its studies are launched once

PROXY = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}  # answers nothing
LINKS = ["best trials", "coordinates", "side by side", "run table", "the study"]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launched")
    path = write_study(folder, small_study(learning_rate=[0.1, 1.0], weight_decay=[0.0]))
    assert lockstep("launch", str(path), "--workers", "1", cwd=folder).code == 0
    return folder


@contextlib.contextmanager
def ui(launched: Path, *options: str, warm_server: bool) -> Iterator[tuple[Process, str]]:
    """The command, once it serves, with what it has said; it does not outlive a failed test."""
    process = start(
        "ui", "study.toml", "--no-browser", *options, cwd=launched, variables=PROXY,
        warm_server=warm_server,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        yield process, "".join(lines)
    finally:
        process.terminate()
        process.communicate(timeout=HUNG)


@pytest.mark.parametrize(
    ("number", "warm_server"),
    [(signal.SIGINT, False), (signal.SIGHUP, True)],
    ids=["SIGINT", "SIGHUP"],
)
def test_serves_and_stops(launched: Path, number: signal.Signals, warm_server: bool) -> None:
    """The first server is MLflow's as a user has it: everything is still to be imported."""
    with contextlib.ExitStack() as opened:
        with socket.socket() as taken:  # the wanted port is in use: another one is chosen and named
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            serving = ui(launched, "--port", str(port), warm_server=warm_server)
            process, text = opened.enter_context(serving)
        assert f"Port {port} is taken" in text
        assert re.findall(r"^(.+?) {2,}http", text, re.MULTILINE) == LINKS
        address = re.search(r"http://127\.0\.0\.1:\d+", text)
        assert address is not None
        base = address[0]
        query = json.dumps({"max_results": 10}).encode()
        request = urllib.request.Request(
            f"{base}/ajax-api/2.0/mlflow/experiments/search",
            query,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=HUNG) as answer:
            names = {each["name"] for each in json.load(answer)["experiments"]}
        assert "small" in names
        ours = {process.pid} | descendants(process.pid)
        assert len(ours) >= 3, "the command, the server and its worker"
        groups = {os.getpgid(pid) for pid in ours}
        assert set().union(*map(listening, groups)) == {LOOPBACK}, "this machine alone reaches it"
        process.send_signal(number)
        out, err = process.communicate(timeout=HUNG)
        assert process.returncode == 0, (out, err)
        assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ours))
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(base.rsplit(":", 1)[1]))) != 0
