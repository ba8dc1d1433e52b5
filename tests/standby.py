"""Fork what a command starts with multiprocessing from memory in which everything is imported.

A training process imports NumPy and SciPy for half a second, and Python's server of processes
imports MLflow for three. So a process stands by, forked when the command begins and has one thread.
It forks what is asked for as the command's own child, in its group, with its environment, signals
and streams. The kernel's name of such a process says what it is: see `process_groups`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import functools
import json
import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import util
from typing import Any

KINDS = ("spawn_main", "forkserver")  # what is forked; anything else is started as ever
_CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine())  # the system call's number
_CLONE_PARENT = 0x8000  # the new process is a child of the caller's parent
_PR_SET_NAME = 15
_ABOVE = 500  # the numbers of descriptors on their way to where they belong
_OF_GROUPS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)  # the one that stands by outlives them
_libc = ctypes.PyDLL(None, use_errno=True)  # which keeps Python's lock, as `os.fork` does


def stand_by() -> None:
    """Let a process stand by for this one, where the system has what it takes."""
    if _CLONE is None:
        return
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        try:
            _serve(theirs)
        except Exception:  # noqa: BLE001 - as where nobody catches it
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    theirs.close()
    started, lock = util.spawnv_passfds, threading.Lock()

    def forked(path: bytes, args: Sequence[Any], descriptors: Sequence[int]) -> int:
        told = [os.fsdecode(each) for each in args]
        code = told.index("-c") + 1
        kind = next((kind for kind in KINDS if kind in told[code]), None)
        if kind is None:
            return started(path, args, descriptors)
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
        with lock:
            send(ours, request, numbers)
            pid = ours.recv(4)
        assert pid, "no process stands by any more"
        return int.from_bytes(pid, "big")

    util.spawnv_passfds = forked


def send(to: socket.socket, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Send a request with descriptors."""
    body = json.dumps(request).encode()
    socket.send_fds(to, [len(body).to_bytes(4, "big")], descriptors)
    to.sendall(body)


def received(requests: socket.socket) -> tuple[Any, list[int]]:
    """Return the next request with its descriptors; end this process if there can be none."""
    head, descriptors, *_ = socket.recv_fds(requests, 4, 32)
    if not head:
        os._exit(0)
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


def _serve(requests: socket.socket) -> None:
    """Fork a process for each request, until the command has ended."""
    for number in _OF_GROUPS:
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # whoever reads what the command writes shall not wait for this one
        os.dup2(nowhere, stream)
    os.close(nowhere)
    _be_named("standby")
    while True:
        request, descriptors = received(requests)
        pid = _sibling()
        if pid == 0:
            requests.close()
            _become(request, descriptors)
            to_the_end(functools.partial(exec, request["code"], {"__name__": "__main__"}))
            os._exit(0)
        for number in descriptors:
            os.close(number)
        requests.sendall(pid.to_bytes(4, "big"))


def _sibling() -> int:
    """Fork as `os.fork` does, but a child of this process's parent."""
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _libc.syscall(_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        assert pid > 0, os.strerror(ctypes.get_errno())
    return pid


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
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
