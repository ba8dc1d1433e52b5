"""Fork what a command starts with multiprocessing from memory in which everything is imported.

A training process imports NumPy and SciPy for half a second, and Python's server of processes
imports MLflow for three. So some processes stand by: they are forked when the command begins and
has one thread, as its children and in its group. Each becomes one of those when the command asks
for it; when all are used, the next is started as ever. The kernel's name of such a process says
what it is: see `process_groups`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import util
from typing import Any, NamedTuple, NoReturn

KINDS = ("spawn_main", "forkserver")  # what is forked; anything else is started as ever
COUNT = 4
_PR_SET_NAME = 15
_ABOVE = 500  # the numbers of descriptors on their way to where they belong
_OF_GROUPS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)  # those that stand by outlive them


class _Waiting(NamedTuple):
    """A process that stands by, and where it is told what to become."""

    pid: int
    requests: socket.socket


def stand_by() -> None:
    """Let processes stand by for this one, where the kernel can name them."""
    if sys.platform != "linux":
        return
    waiting: list[_Waiting] = []
    for _ in range(COUNT):
        ours, theirs = socket.socketpair()
        if (pid := os.fork()) == 0:
            for each in (ours, *(other.requests for other in waiting)):
                each.close()  # else its end would not be seen
            _wait(theirs)
        theirs.close()
        waiting.append(_Waiting(pid, ours))
    started, lock = util.spawnv_passfds, threading.Lock()

    def start(path: bytes, args: Sequence[Any], descriptors: Sequence[int]) -> int:
        told = [os.fsdecode(each) for each in args]
        code = told.index("-c") + 1
        kind = next((kind for kind in KINDS if kind in told[code]), None)
        with lock:
            next_one = waiting.pop() if kind is not None and waiting else None
        if next_one is None:
            return int(started(path, args, descriptors))
        numbers = [0, 1, 2, *descriptors]
        request = {
            "kind": kind,
            "code": told[code],
            "arguments": ["-c", *told[code + 1 :]],
            "environment": dict(os.environ),
            "blocked": list(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
            "ignored": [n for n in _OF_GROUPS if signal.getsignal(n) is signal.SIG_IGN],
            "numbers": numbers,
        }
        with next_one.requests as requests:
            send(requests, request, numbers)
        return next_one.pid

    util.spawnv_passfds = start


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
        to_the_end(lambda: exec(request["code"], {"__name__": "__main__"}))
        os._exit(0)
    except Exception:  # noqa: BLE001 - as where nobody catches it
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take on what the command would have started."""
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


def _be_named(name: str) -> None:
    """Have the kernel call this process so."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
