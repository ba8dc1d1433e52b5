"""Processes that stand by: forked with all that is imported, and told later what to become.

They are children of a command that has one thread as yet, or of a process that runs tests, and in
its group. When that starts a process with Python, one of them becomes it: see `forked.py`. The
kernel's name of a process says what it has become: see `process_groups`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Self

Request = Mapping[str, Any]

_PR_SET_NAME = 15
_ABOVE = 500  # the numbers of descriptors on their way to where they belong
_OF_GROUPS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)  # those that stand by outlive them


class _Waiting(NamedTuple):
    """A process that stands by, and where it is told what to become."""

    pid: int
    requests: socket.socket


class Standby:
    """Processes that stand by for this one."""

    def __init__(self, waiting: list[_Waiting]) -> None:
        self._waiting = waiting
        self._lock = threading.Lock()

    @classmethod
    def fork(cls, count: int, run: Callable[[Request], object]) -> Self:
        """Let processes stand by, where the kernel can name them; each will run a request."""
        waiting: list[_Waiting] = []
        for _ in range(count if sys.platform == "linux" else 0):
            ours, theirs = socket.socketpair()
            with warnings.catch_warnings():
                # Those of BLAS, and the one that brings a test's process its next test.
                warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                for each in (ours, *(other.requests for other in waiting)):
                    each.close()  # else its end would not be seen
                _wait(theirs, run)
            theirs.close()
            waiting.append(_Waiting(pid, ours))
        return cls(waiting)

    def become(
        self,
        name: str,
        request: Request,
        *,
        environment: Mapping[str, str],
        arguments: Sequence[str],
        descriptors: Mapping[int, int],
        new_session: bool = False,
    ) -> int | None:
        """Let one that stands by run a request; return its process id, None if none is left.

        name: what the kernel calls it. descriptors: those of this process, by their new numbers.
        """
        with self._lock:
            if not self._waiting:
                return None
            pid, requests = self._waiting.pop()
        told = {
            "name": name,
            "request": request,
            "environment": dict(environment),
            "arguments": list(arguments),
            "numbers": list(descriptors),
            "new_session": new_session,
            "blocked": list(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
            "ignored": [n for n in _OF_GROUPS if signal.getsignal(n) is signal.SIG_IGN],
        }
        with requests:
            send(requests, told, list(descriptors.values()))
        return pid

    def end(self) -> None:
        """End those that still stand by."""
        while self._waiting:
            pid, requests = self._waiting.pop()
            requests.close()
            os.waitpid(pid, 0)


def send(to: socket.socket, request: Request, descriptors: Sequence[int]) -> None:
    """Send a request with descriptors."""
    body = json.dumps(request).encode()
    socket.send_fds(to, [len(body).to_bytes(4, "big")], descriptors)
    to.sendall(body)


def received(requests: socket.socket) -> tuple[Any, list[int]] | None:
    """Return the next request with its descriptors; None if nobody can send one any more, because
    the sender has ended or was killed in the middle of it."""
    head, descriptors, *_ = socket.recv_fds(requests, 4, 32)
    body, size = b"", int.from_bytes(head, "big")
    while len(body) < size and (part := requests.recv(1 << 16)):
        body += part
    if head and len(body) == size:
        return json.loads(body), descriptors
    for each in descriptors:
        os.close(each)
    return None


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


def _wait(requests: socket.socket, run: Callable[[Request], object]) -> NoReturn:
    """Stand by until it is said what this process becomes, or nobody can say so; become it."""
    try:
        gc.freeze()  # whatever was left lying about is its ancestor's
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
        _become(*told)
        run(told[0]["request"])
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except Exception:  # noqa: BLE001 - as where nobody catches it
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def _become(told: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take on session, signals, descriptors, environment, arguments and name."""
    if told["new_session"]:
        os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, told["blocked"])
    for number in set(map(int, _OF_GROUPS)) - set(told["ignored"]):
        signal.signal(number, signal.SIG_DFL)
    if signal.SIGINT not in told["ignored"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    above = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for each in descriptors]
    for each in descriptors:
        os.close(each)
    for each, number in zip(above, told["numbers"], strict=True):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(told["environment"])
    tempfile.tempdir = None  # what is imported may have asked for it
    sys.argv[:] = told["arguments"]
    _be_named(told["name"])


def _be_named(name: str) -> None:
    """Have the kernel call this process so."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
