"""Servers, databases and folders that are not there, not ours or not what they should be."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from namespaces import namespace, needs_namespaces
from small_study import small_study, write_study

Refused = Callable[..., str]

SECRET = "s3cr%40et"  # `refused` looks for it in all that is printed


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose server closes every connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        ended.set()
        thread.join()


class _Refusing(http.server.BaseHTTPRequestHandler):
    def _refuse(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"You are not authenticated.")

    do_GET = do_POST = _refuse  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port whose server takes no credentials at all."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("option", "url"),
    [
        ("--storage", f"postgresql+psycopg://me:{SECRET}@127.0.0.1:{{silent}}/optuna"),
        ("--storage", f"nothing://me:{SECRET}@127.0.0.1/optuna"),
        ("--storage", f"postgresql://me:{SECRET}@127.0.0.1:port/optuna"),
        ("--storage", "sqlite:////nowhere/study.db"),
        ("--storage", "sqlite:///study.toml"),
        ("--storage", "study.db"),
        ("--tracking-uri", f"http://me:{SECRET}@127.0.0.1:1"),
        ("--tracking-uri", f"http://me:{SECRET}@127.0.0.1:{{silent}}"),
        ("--tracking-uri", f"http://me:{SECRET}@127.0.0.1:{{refusing}}"),
        ("--tracking-uri", f"nothing://me:{SECRET}@127.0.0.1"),
        ("--tracking-uri", "sqlite:///study.toml"),
        ("--cluster", "tcp://127.0.0.1:1"),
        ("--cluster", f"tcp://me:{SECRET}@127.0.0.1:1"),
        ("--cluster", "127.0.0.1"),
    ],
)
def test_a_wrong_url(
    tmp_path: Path, refused: Refused, silent: int, refusing: int, option: str, url: str
) -> None:
    """Nothing is written, not even the study that could not be."""
    write_study(tmp_path)
    url = url.format(silent=silent, refusing=refusing)
    sentence = refused("launch", "study.toml", option, url, "--workers", "1", "--patience", "1")
    assert url.partition("://")[0] in sentence


@pytest.mark.parametrize("home", ["study.toml/runs", "x" * 300, "/proc/runs", "/dev/null/runs"])
def test_a_home_that_is_no_folder(tmp_path: Path, refused: Refused, home: str) -> None:
    write_study(tmp_path)
    sentence = refused("launch", "study.toml", "--home", home)
    assert home in sentence
    assert "name another folder with --home" in sentence


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a 'b' \"c\"", "with \" ' in its path"),
        ("a :b", "with : in its path"),
        (os.fsdecode(b"by\xffte"), r"/by\udcffte/runs: MLflow cannot open"),
        ("a%20b", "a folder with % and two hexadecimal digits"),
    ],
    ids=["quotes", "colon", "bytes", "percent"],
)
def test_a_folder_in_which_mlflow_cannot_work(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    write_study(folder)
    monkeypatch.chdir(folder)
    assert told in refused("launch", "study.toml")


def test_a_home_behind_a_link_that_leads_nowhere(tmp_path: Path, refused: Refused) -> None:
    """Scratch space that was purged: every command names the link, not a study that is missing."""
    write_study(tmp_path)
    (tmp_path / "runs").symlink_to("purged")
    for command in ("launch", "compare"):
        sentence = refused(command, "study.toml")
        assert "runs is a link to purged, which cannot be reached" in sentence
        assert "name another folder with --home" in sentence
    assert "study.toml is a link" not in sentence


@needs_namespaces
def test_a_full_folder_of_temporary_files(tmp_path: Path) -> None:
    """A launch needs none; where one is needed, it is named, not the home, which has room."""
    text = small_study(learning_rate=[0.1, 1.0], weight_decay=[0.0], batch_size=[16])
    write_study(tmp_path, text)
    (tmp_path / "small").mkdir()
    with namespace(tmp_path) as inside:
        inside.shell("mount -t tmpfs -o size=64k tmpfs small; head -c 60000 /dev/zero > small/full")
        full = {"TMPDIR": str(tmp_path / "small")}
        launched = inside.lockstep("launch", "study.toml", "--workers", "1", variables=full)
        finished = inside.lockstep("retrain", "study.toml", "--seeds", "0", variables=full)
    assert launched.code == 0, launched.err
    assert finished.code == 2, finished.err
    (line,) = finished.err.splitlines()
    assert str(tmp_path / "small") in line
    assert "No space left" in line
    assert "TMPDIR" in line
    assert "--home" not in line


@needs_namespaces
def test_a_read_only_home(tmp_path: Path) -> None:
    """An empty one; `test_moved_home.py` has one in which a study was launched."""
    write_study(tmp_path)
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with namespace(tmp_path) as inside:
        inside.shell("mount --bind empty empty; mount -o remount,ro,bind empty")
        finished = inside.lockstep("launch", "study.toml", "--home", "empty")
    assert finished.code == 2, finished.err
    (line,) = finished.err.splitlines()
    assert "ead-only" in line
    assert "writable" in line
    assert sorted(tmp_path.rglob("*")) == before
