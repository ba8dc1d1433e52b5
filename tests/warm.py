"""Start the command line in a process that is forked from one that has imported everything.

Half of what a small command costs is importing MLflow, Optuna and scikit-learn, and hundreds of
commands are tested. What runs is the installed console script, in a process of its own, with its
own folder, environment and streams; it can be interrupted and killed like any other.

One such ancestor serves all processes of the tests that need its environment variables.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import fcntl
import functools
import gc
import hashlib
import importlib
import os
import resource
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import blank_figures
import forked
import ready_store
import sqlalchemy.orm
import standby
import unsynced
from filelock import FileLock

VARIABLE = "TESTS_ANCESTORS"  # the folder with an ancestor's address each, for all processes
# Read once, when a library is imported: a process that wants others needs another ancestor.
READ_AT_IMPORT = ("OPENBLAS_", "OMP_", "MKL_", "PYTHON", "MPL", "HOME", "XDG_")
# Not these two, which a process takes on when it is forked.
FAULTHANDLER, WRITE_NO_CODE = "PYTHONFAULTHANDLER", "PYTHONDONTWRITEBYTECODE"
NO_LIMITS: Mapping[int, int] = MappingProxyType({})
IMPORTED = (
    "search.cli", "search.commands.init", "search.commands.launch", "search.commands.sync",
    "search.commands.compare", "search.commands.retrain", "search.commands.predict",
    "search.commands.ui",
    "search.training.in_process", "search.training.processes", "search.study.search_study",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.db.utils", "mlflow.pyfunc", "mlflow.store.artifact.local_artifact_repo",
    "optuna.importance", "sklearn.datasets", "scipy.stats", "pandas",
    "matplotlib.backends.backend_agg", "matplotlib.font_manager", "alembic.command",
    # What these import when they are used:
    "search.commands.doctor", "search.commands.compare_studies", "alembic.config",
    "email.policy", "git", "IPython.display", "logging.config", "matplotlib.figure",
    "matplotlib.image", "matplotlib.projections",
    "mlflow.models.display_utils", "mlflow.pyfunc.scoring_server",
    "mlflow.pyfunc.utils.environment",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.tracing.processor.base_mlflow", "mlflow.tracing.processor.otel",
    "multiprocessing.sharedctypes",
    "opentelemetry.sdk.metrics", "PIL.BmpImagePlugin", "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.PpmImagePlugin", "PIL.WebPImagePlugin",
    "pyarrow.pandas_compat", "search.spec.named_study", "sklearn.datasets.data",
    "sklearn.datasets.descr", "sqlalchemy.dialects.sqlite",
)  # fmt: skip
# What servers and their clients import, once a command says that it is one.
SERVERS = (
    "distributed.cli.dask_scheduler", "distributed.cli.dask_worker", "mlflow.cli",
    "mlflow.server.fastapi_app", "optuna_dashboard._cli", "psycopg", "search.training.dask_cluster",
    "search.training.dask_executor", "sqlalchemy.dialects.postgresql.psycopg", "uvicorn.main",
)  # fmt: skip


class Process:
    """A running command, used like `subprocess.Popen` with text streams."""

    def __init__(
        self, status: IO[str], stdout: IO[str] | None, stderr: IO[str] | None, args: Sequence[str]
    ) -> None:
        self._status = status
        self._read: dict[IO[str], str] = {}
        self._readers: list[threading.Thread] = []
        self.args = args
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self.pid = int(status.readline())

    def poll(self) -> int | None:
        """Return the exit status, or minus the signal's number; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._status.readline()))
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return what was written to standard output and error."""
        if not self._readers:
            self._readers = [
                threading.Thread(target=self._drain, args=[stream], daemon=True)
                for stream in (self.stdout, self.stderr)
                if stream is not None
            ]
            for reader in self._readers:
                reader.start()
        self.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
        return self._all(self.stdout), self._all(self.stderr)

    def _drain(self, stream: IO[str]) -> None:
        self._read[stream] = stream.read()
        stream.close()

    def _all(self, stream: IO[str] | None) -> str:
        return "" if stream is None else self._read[stream]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    script: Path,
    arguments: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdout: int,
    stderr: int,
    new_group: bool,
    limits: Mapping[int, int] = NO_LIMITS,
    namespace: int | None = None,
    warm_children: bool = False,
    terminal: bool = False,
    servers: bool = False,
    warm_server: bool = False,
) -> Process:
    """Start a console script.

    stdout, stderr: file descriptors, or PIPE or DEVNULL. limits: on its resources, as the module
    `resource` numbers them. namespace: the process whose users and mounts it sees. warm_children:
    what it starts with multiprocessing is forked like itself; see `forked`. terminal: standard
    output is the terminal of its new group. servers: it is a server, or asks some. warm_server:
    it starts MLflow's server, which is forked, too.
    """
    ours: list[IO[str] | None] = []
    theirs = [os.open(os.devnull, os.O_RDONLY)]
    for wanted in (stdout, stderr, subprocess.PIPE):
        reads, writes = _stream(wanted)
        ours.append(reads)
        theirs.append(writes)
    request = {
        "arguments": [str(script), *arguments],
        "cwd": str(cwd),
        "environment": dict(environment),
        "new_group": new_group,
        "limits": list(limits.items()),
        "namespace": namespace,
        "warm_children": warm_children,
        "terminal": terminal,
        "servers": servers or warm_server,
        "warm_server": warm_server,
    }
    read_at_import = {
        name: value
        for name, value in environment.items()
        if name.startswith(READ_AT_IMPORT) and name not in (FAULTHANDLER, WRITE_NO_CODE)
    }
    standby.send(_ancestor(tuple(sorted(read_at_import.items()))), request, theirs)
    for number in theirs:
        os.close(number)
    out, err, status = ours
    assert status is not None
    return Process(status, out, err, [str(script), *arguments])


def _stream(wanted: int) -> tuple[IO[str] | None, int]:
    """Return our end, where there is one, and the descriptor for the process."""
    if wanted == subprocess.PIPE:
        reads, writes = os.pipe()
        return open(reads, encoding="utf-8", errors="replace"), writes
    if wanted == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_WRONLY)
    return None, os.dup(wanted)


def provided() -> Callable[[], None]:
    """Say where the ancestors will be; return what removes their addresses again."""
    folder = tempfile.mkdtemp(prefix="lockstep-ancestors-")
    os.environ[VARIABLE] = folder
    return functools.partial(shutil.rmtree, folder, ignore_errors=True)


@functools.cache
def _ancestor(environment: tuple[tuple[str, str], ...]) -> socket.socket:
    """Return where requests are sent to the process that has imported everything with these
    environment variables; it is started if it does not run, and ends when nobody can ask it."""
    name = hashlib.sha256(repr(environment).encode()).hexdigest()[:16]
    address = Path(os.environ[VARIABLE], name)
    requests = socket.socket(socket.AF_UNIX)
    with FileLock(f"{address}.lock"):
        try:
            requests.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            address.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(address))
                listening.listen()
                requests.connect(str(address))
                process = subprocess.Popen(
                    [sys.executable, __file__, str(listening.fileno())],
                    pass_fds=[listening.fileno()],
                    env=dict(environment),
                )
            atexit.register(process.wait)
    atexit.register(requests.close)  # called before the wait
    os.register_at_fork(after_in_child=requests.close)  # else its end would not be seen
    return requests


def _serve(listening: socket.socket) -> None:
    """Fork a process for each request, in which this returns, until nobody can ask any more."""
    warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)  # BLAS's
    for module in IMPORTED:
        importlib.import_module(module)
    sqlalchemy.orm.configure_mappers()
    # MLflow looks once through all packages that are installed, when a model is registered.
    from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

    warn_dependency_requirement_mismatches(["numpy"])
    # Most commands of the tests read these, from text.
    from core.datasets.embedded import read_digits

    read_digits()
    assert threading.active_count() == 1, threading.enumerate()  # a fork takes one thread along
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended, ends = socket.socketpair()
    ends.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(ends.fileno())
    asking = [listening.accept()[0]]  # who started this process
    running: dict[int, int] = {}  # by process, where to tell how it ended
    while asking:
        ready = select.select([ended, listening, *asking], [], [])[0]
        if ended in ready:
            ended.recv(1 << 16)
            _tell_ended(running)
        if listening in ready:
            asking.append(listening.accept()[0])
        for each in set(asking).intersection(ready):
            if (received := standby.received(each)) is None:
                asking.remove(each)
                each.close()
                continue
            request, (*streams, status) = received
            if (pid := _forked(request)) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _close([ended, ends, listening, *asking], running.values())
                if request["new_group"]:
                    os.setsid()
                os.write(status, f"{os.getpid()}\n".encode())
                os.close(status)
                _become(request, streams)
                return
            for number in streams:
                os.close(number)
            running[pid] = status
    os._exit(0)


def _forked(request: Mapping[str, Any]) -> int:
    """Fork a process that has imported what it needs, as `os.fork` does."""
    if request["servers"]:
        with warnings.catch_warnings(action="ignore"):
            for module in SERVERS:
                with contextlib.suppress(ModuleNotFoundError):  # some are optional
                    importlib.import_module(module)
    return os.fork()


def _close(sockets: Iterable[socket.socket], descriptors: Iterable[int]) -> None:
    for each in sockets:
        each.close()
    for number in descriptors:
        os.close(number)


def _tell_ended(running: dict[int, int]) -> None:
    """Wait for all processes that have ended, and tell how."""
    while running:
        pid, ending = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        status = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody wants to know
            os.write(status, f"{ending}\n".encode())
        os.close(status)


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Take on the command's streams, folder, environment and arguments."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if request["terminal"]:
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # what is imported may have asked for it
    if FAULTHANDLER in os.environ:
        faulthandler.enable()
    sys.dont_write_bytecode = WRITE_NO_CODE in os.environ
    if request["namespace"] is not None:
        _enter(request["namespace"])
    for number, limit in request["limits"]:
        resource.setrlimit(number, (limit, limit))
    os.chdir(request["cwd"])
    sys.argv[:] = request["arguments"]
    ready_store.use()
    blank_figures.use()
    unsynced.use()
    sys.path[0] = os.path.dirname(sys.argv[0])
    if dask := sys.modules.get("dask"):
        dask.config.refresh()  # from this process's variables
    if request["warm_children"]:
        forked.stand_by()
    elif request["warm_server"]:
        forked.stand_by(1)


def _enter(process: int) -> None:
    """See the users and mounts that a process sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    for opened in [os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]:
        if libc.setns(opened, 0) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespaces of process {process}")
        os.close(opened)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))  # returns in a command's process
    # As Python runs it.
    standby.to_the_end(functools.partial(runpy.run_path, sys.argv[0], run_name="__main__"))
