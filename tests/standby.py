"""Fork what a command starts with Python from memory in which everything is imported.

A training process imports NumPy and SciPy for half a second, Python's server of processes imports
MLflow for three, and MLflow's own server does so twice. So some processes stand by: they are forked
when the command begins and has one thread, as its children and in its group. Each becomes one of
those when the command asks for it; when all are used, the next is started as ever. The kernel's
name of such a process says what it is: see `process_groups`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import functools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import util
from typing import IO, Any, NamedTuple, NoReturn

# What is forked; anything else is started as ever.
KINDS = ("spawn_main", "forkserver")  # of multiprocessing
MODULES = ("mlflow", "uvicorn")  # with `python -m`
COUNT = 4
_CHOSEN = {"stdout", "stderr", "env", "start_new_session", "creationflags", "text"}  # for a module
_PR_SET_NAME = 15
_ABOVE = 500  # the numbers of descriptors on their way to where they belong
_OF_GROUPS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)  # those that stand by outlive them


class _Waiting(NamedTuple):
    """A process that stands by, and where it is told what to become."""

    pid: int
    requests: socket.socket


def stand_by(count: int = COUNT) -> None:
    """Let processes stand by for this one, where the kernel can name them."""
    if sys.platform != "linux":
        return
    waiting: list[_Waiting] = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        if (pid := os.fork()) == 0:
            for each in (ours, *(other.requests for other in waiting)):
                each.close()  # else its end would not be seen
            _wait(theirs)
        theirs.close()
        waiting.append(_Waiting(pid, ours))
    lock = threading.Lock()

    def forked(kind: str | None, request: Mapping[str, Any], streams: Sequence[int]) -> int | None:
        with lock:
            next_one = waiting.pop() if kind is not None and waiting else None
        if next_one is None:
            return None
        common = {
            "kind": kind,
            "blocked": list(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
            "ignored": [n for n in _OF_GROUPS if signal.getsignal(n) is signal.SIG_IGN],
        }
        with next_one.requests as requests:
            send(requests, common | dict(request), streams)
        return next_one.pid

    started, popen = util.spawnv_passfds, subprocess.Popen

    def start(path: bytes, args: Sequence[Any], descriptors: Sequence[int]) -> int:
        told = [os.fsdecode(each) for each in args]
        code = told.index("-c") + 1
        kind = next((kind for kind in KINDS if kind in told[code]), None)
        request = {
            "code": told[code],
            "arguments": ["-c", *told[code + 1 :]],
            "environment": dict(os.environ),
            "new_session": False,
            "numbers": [0, 1, 2, *descriptors],
        }
        pid = forked(kind, request, [0, 1, 2, *descriptors])
        return int(started(path, args, descriptors)) if pid is None else pid

    class Popen(popen):  # type: ignore[misc, valid-type]
        """As ever, but for modules that are forked."""

        def __new__(cls, args: Any, *others: Any, **options: Any) -> Any:
            module = _module(args) if not others and options.keys() <= _CHOSEN else None
            streams = [_number(options.get(name), n) for n, name in ((1, "stdout"), (2, "stderr"))]
            if module is not None and None not in streams:
                environment = options.get("env")
                request = {
                    "code": None,
                    "arguments": list(args[2:]),
                    "environment": dict(os.environ if environment is None else environment),
                    "new_session": options.get("start_new_session", False),
                    "numbers": [0, 1, 2],
                }
                if (pid := forked(module, request, [0, *streams])) is not None:
                    return _Forked(pid, args)
            return super().__new__(cls)

    util.spawnv_passfds, subprocess.Popen = start, Popen  # type: ignore[misc]


def _module(args: Any) -> str | None:
    """Which of `MODULES` a command line starts."""
    if not isinstance(args, list) or args[:2] != [sys.executable, "-m"] or args[2] not in MODULES:
        return None
    return str(args[2])


def _number(stream: int | IO[Any] | None, inherited: int) -> int | None:
    """The descriptor for what `subprocess.Popen` was given as a stream; None if it is a pipe."""
    if stream is None:
        return inherited
    if stream == subprocess.DEVNULL:
        return _nowhere()
    number = stream if isinstance(stream, int) else stream.fileno()
    return number if number >= 0 else None


@functools.cache
def _nowhere() -> int:
    """A descriptor of what takes everything and holds nothing."""
    return os.open(os.devnull, os.O_RDWR)


class _Forked:
    """A process that stood by, used like `subprocess.Popen` without pipes."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, args: Sequence[str]) -> None:
        self.pid, self.args = pid, args
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int | None:
        with contextlib.suppress(ChildProcessError):  # a signal's handler has polled
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return self.poll()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def send(to: socket.socket, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Send a request with descriptors."""
    body = json.dumps(request).encode()
    socket.send_fds(to, [len(body).to_bytes(4, "big")], descriptors)
    to.sendall(body)


def received(requests: socket.socket) -> tuple[Any, list[int]] | None:
    """Return the next request with its descriptors; None if nobody can send one any more."""
    head, descriptors, *_ = socket.recv_fds(requests, 4, 32)
    if not head:
        return None
    body = b""
    while len(body) < int.from_bytes(head, "big"):
        body += requests.recv(1 << 16)
    return json.loads(body), descriptors


def to_the_end(run: Callable[[], object]) -> None:
    """Run a program, and end its process once all is done that is done at exit.

    What its ancestor imported is not freed: that would copy all of it first.
    """
    try:
        run()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(end.code)


def _wait(requests: socket.socket) -> NoReturn:
    """Stand by until the command says what this process becomes, or has ended; become it."""
    try:
        for number in _OF_GROUPS:
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):  # whoever reads what the command writes shall not wait for this one
            os.dup2(nowhere, stream)
        os.close(nowhere)
        _be_named("standby")
        if (told := received(requests)) is None:
            os._exit(0)
        requests.close()
        request, descriptors = told
        _become(request, descriptors)
        if request["code"] is None:
            to_the_end(lambda: _run_module(request["arguments"]))
        else:
            to_the_end(lambda: exec(request["code"], {"__name__": "__main__"}))
        os._exit(0)
    except Exception:  # noqa: BLE001 - as where nobody catches it
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take on what the command would have started."""
    if request["new_session"]:
        os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    for number in set(map(int, _OF_GROUPS)) - set(request["ignored"]):
        signal.signal(number, signal.SIG_DFL)
    if signal.SIGINT not in request["ignored"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    above = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for each in descriptors]
    for each in descriptors:
        os.close(each)
    for each, number in zip(above, request["numbers"], strict=True):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = request["arguments"]
    _be_named(request["kind"])


def _run_module(words: Sequence[str]) -> None:
    """Run a module as `python -m` does, with what it starts standing by."""
    module, *arguments = words
    sys.argv[1:], sys.path[0] = arguments, os.getcwd()
    if module == "uvicorn":
        # The app reads these variables when it is imported, as the ancestor did with its own.
        for name in [name for name in sys.modules if f"{name}.".startswith("mlflow.server.")]:
            del sys.modules[name]
        workers = int(arguments[arguments.index("--workers") + 1])
        stand_by(workers if workers > 1 else 0)
    else:
        stand_by(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _be_named(name: str) -> None:
    """Have the kernel call this process so."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
