"""What is told of errors of the system and of SQLite: the cause, the place and what to do."""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
from pathlib import Path

import pytest
import requests
from command import HUNG
from sqlalchemy import create_engine, text

from search import sqlite_errors
from search.process import begin
from search.system_errors import broken_link, is_network, sentence

AGAIN = "and run the same command again"


def told(error: OSError, home: Path) -> str:
    """Return the sentence: a single one, that ends in what to do."""
    found = sentence(error, home)
    assert found is not None
    assert found.endswith(AGAIN)
    assert len(found.splitlines()) == 1
    return found


@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=errno.errorcode.get)
def test_every_error_of_a_place_names_it(tmp_path: Path, number: int) -> None:
    home = tmp_path / "runs"
    for error in (
        OSError(number, os.strerror(number), str(home / "mlflow.db")),
        OSError(number, os.strerror(number), str(tmp_path / "from"), None, str(home / "mlflow.db")),
    ):
        line = told(error, home)
        assert line.startswith(f"{home / 'mlflow.db'}: {os.strerror(number)}: finished trials")
        assert "TMPDIR" not in line


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room there, or name another folder with --home"),
        (errno.EDQUOT, "make room there"),
        (errno.EACCES, "make the place writable"),
        (errno.EROFS, "make the place writable"),
        (errno.EEXIST, "a folder is needed"),
        (errno.EMFILE, "allow more open files"),
        (errno.EIO, "see to its disk"),
        (errno.ENOSYS, "name another folder with --home"),
    ],
)
def test_the_remedy_fits(tmp_path: Path, number: int, remedy: str) -> None:
    assert remedy in told(OSError(number, os.strerror(number), str(tmp_path)), tmp_path)


def test_errors_without_a_place(tmp_path: Path) -> None:
    """A full disk names no file; a process that cannot be started blames no folder."""
    line = told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), tmp_path)
    assert line.startswith(f"{tmp_path}: No space left")
    for number in (errno.EAGAIN, errno.ENOMEM):
        line = told(OSError(number, os.strerror(number)), tmp_path)
        assert "fewer --workers" in line
        assert "--home" not in line
    assert "ulimit -n" in told(OSError(errno.EMFILE, os.strerror(errno.EMFILE)), tmp_path)
    assert sentence(ChildProcessError(errno.ECHILD, "No child processes"), tmp_path) is None
    assert sentence(OSError("a library's own words"), tmp_path) is None


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        TimeoutError("timed out"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        urllib.error.URLError("no host given"),
        requests.ConnectionError("Max retries exceeded"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_a_connection_blame_no_disk(error: OSError, tmp_path: Path) -> None:
    assert is_network(error)
    line = told(error, tmp_path)
    assert line.startswith("a connection failed (")
    assert "--home" not in line
    assert "room" not in line


def test_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told from the home, also where this lies among them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "tmpx" / "result.npz"))
    assert "TMPDIR" in told(full, tmp_path / "runs")
    assert "TMPDIR" not in told(full, tmp_path / "tmpx")
    none = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/']")
    assert told(none, tmp_path).startswith(
        "no folder for temporary files can be written (tried: /tmp, /): "
    )
    of_matplotlib = OSError("Matplotlib requires access to a writable cache directory")
    of_matplotlib.__cause__ = none
    assert "TMPDIR" in told(of_matplotlib, tmp_path)


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(tmp_path / "purged")
    with pytest.raises(FileExistsError) as caught:
        (tmp_path / "runs").mkdir(exist_ok=True)
    line = told(caught.value, tmp_path / "runs")
    assert line.startswith(
        f"{tmp_path / 'runs'} is a link to {tmp_path / 'purged'}, which cannot be reached: "
    )
    assert broken_link(tmp_path / "runs" / "small") == broken_link(tmp_path / "runs")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert broken_link(tmp_path / "loop") is not None
    (tmp_path / "good").symlink_to(tmp_path)
    assert broken_link(tmp_path / "good" / "new") is None


def test_errors_of_sqlite(tmp_path: Path) -> None:
    """As they come out of SQLAlchemy, and so out of Optuna and MLflow."""
    file = tmp_path / "study.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE numbers (x)")
    connection.close()
    engine = create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
    with pytest.raises(Exception, match="readonly") as caught, engine.begin() as read_only:
        read_only.execute(text("INSERT INTO numbers VALUES (1)"))
    engine.dispose()
    storage = f"sqlite:///{file}"
    line = sqlite_errors.sentence(caught.value, storage, tmp_path)
    assert line == (
        f"{storage}: attempt to write a readonly database: finished trials are kept; make the file "
        "and its folder writable, and run the same command again"
    )
    limited = sqlite3.connect(file)
    limited.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError, match="disk is full") as full:
        limited.execute("INSERT INTO numbers VALUES (zeroblob(100000))")
    limited.close()
    line = sqlite_errors.sentence(full.value, None, tmp_path)
    assert line is not None
    assert line.startswith(f"a database in {tmp_path}: database or disk is full: ")
    assert "make room" in line
    assert sqlite_errors.sentence(sqlite3.IntegrityError("UNIQUE failed"), None, tmp_path) is None
    assert sqlite_errors.sentence(ValueError("readonly database"), None, tmp_path) is None


def test_a_user_without_a_home() -> None:
    """No entry and no HOME, as in containers: MLflow cannot be imported without one."""
    code = (
        "import sys; sys.modules['pwd'] = None\n"
        f"from search.process import begin; {begin.__name__}()\n"
        "from pathlib import Path; print(Path.home())"
    )
    variables = {key: value for key, value in os.environ.items() if key != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=variables, capture_output=True, text=True, timeout=HUNG, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("/\n", "")
