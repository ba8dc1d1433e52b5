"""The champion of a study as README says how to serve it, and what it answers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from command import HUNG, REPOSITORY, environment

Ask = Callable[..., tuple[int, str]]


def readme_line() -> str:
    """The command as it stands in README, with its continued line and without its comment."""
    text = (REPOSITORY / "README.md").read_text()
    (line,) = re.findall(r"^(.*mlflow models serve \\\n[^#\n]*?) *#", text, re.MULTILINE)
    return str(line)


@contextlib.contextmanager
def served(study: str, cwd: Path) -> Iterator[Ask]:
    """Serve a study by README's line, from a folder that has the virtual environment in .venv; it
    is not activated. Yields a function that posts a body and returns status and answer."""
    (cwd / ".venv").symlink_to(sys.prefix)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    line = readme_line()
    assert line.count("mnist-3v6") == line.count("8000") == 1
    ours = Path(sys.prefix, "bin").resolve()
    path = [each for each in os.environ["PATH"].split(os.pathsep) if Path(each).resolve() != ours]
    process = subprocess.Popen(
        ["bash", "-c", line.replace("mnist-3v6", shlex.quote(study)).replace("8000", port)],
        cwd=cwd,
        env=environment() | {"PATH": os.pathsep.join(path)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    address = f"http://127.0.0.1:{port}"

    def ask(body: object, kind: str = "application/json") -> tuple[int, str]:
        content = body if isinstance(body, str) else json.dumps(body)
        asked = Request(f"{address}/invocations", content.encode(), {"Content-Type": kind})
        try:
            with urlopen(asked, timeout=HUNG) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    try:
        deadline = time.monotonic() + HUNG
        while True:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            try:
                with urlopen(f"{address}/ping", timeout=5):
                    break
            except (URLError, OSError):
                assert time.monotonic() < deadline, "the server did not come up"
                time.sleep(0.2)
        yield ask
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def rows_of(answer: str) -> list[dict[str, Any]]:
    """The predictions in an answer, which is valid JSON and whose probabilities sum to 1."""

    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    rows: list[dict[str, Any]] = json.loads(answer, parse_constant=never)["predictions"]
    for row in rows:
        assert abs(sum(value for key, value in row.items() if key != "class") - 1) < 1e-6
    return rows
