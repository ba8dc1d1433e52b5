"""Fork what a process starts with Python from memory in which everything is imported.

A training process imports NumPy and SciPy for half a second, Python's server of processes imports
MLflow for three, and MLflow's own server does so twice. They become processes that stand by; when
all of these are used, the next is started as ever.
"""

from __future__ import annotations

import contextlib
import functools
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import util
from typing import IO, Any

from standby import Request, Standby, to_the_end

# What is forked; anything else is started as ever.
KINDS = ("spawn_main", "forkserver")  # of multiprocessing
MODULES = ("mlflow", "uvicorn")  # with `python -m`
STARTED_COLD = util.spawnv_passfds  # as ever
_COUNT = 4
_KNOWN = {"stdout", "stderr", "env", "start_new_session", "creationflags", "text"}  # for a module


def stand_by(count: int = _COUNT) -> Standby:
    """Let processes stand by for what this one starts, from now on."""
    standby = Standby.fork(count, _run)
    popen = subprocess.Popen

    def start(path: bytes, args: Sequence[Any], descriptors: Sequence[int]) -> int:
        told = [os.fsdecode(each) for each in args]
        code = told.index("-c") + 1
        pid = None
        if (kind := next((kind for kind in KINDS if kind in told[code]), None)) is not None:
            pid = standby.become(
                kind,
                {"code": told[code]},
                environment=os.environ,
                arguments=["-c", *told[code + 1 :]],
                descriptors={number: number for number in (0, 1, 2, *descriptors)},
            )
        return int(STARTED_COLD(path, args, descriptors)) if pid is None else pid

    class Popen(popen):  # type: ignore[misc, valid-type]
        """As ever, but for modules that are forked."""

        def __new__(cls, args: Any, *others: Any, **options: Any) -> Any:
            module = _module(args) if not others and options.keys() <= _KNOWN else None
            out, err = _number(options.get("stdout"), 1), _number(options.get("stderr"), 2)
            if module is not None and out is not None and err is not None:
                environment = options.get("env")
                pid = standby.become(
                    module,
                    {"module": module},
                    environment=os.environ if environment is None else environment,
                    arguments=args[2:],
                    descriptors={0: 0, 1: out, 2: err},
                    new_session=options.get("start_new_session", False),
                )
                if pid is not None:
                    return _Forked(pid, args)
            return super().__new__(cls)

    util.spawnv_passfds, subprocess.Popen = start, Popen  # type: ignore[misc]
    return standby


@contextlib.contextmanager
def standing_by(count: int) -> Iterator[None]:
    """Let processes stand by for what this one starts in a block; none of them outlives it."""
    popen = subprocess.Popen
    standby = stand_by(count)
    try:
        yield
    finally:
        util.spawnv_passfds, subprocess.Popen = STARTED_COLD, popen  # type: ignore[misc]
        standby.end()


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


def _run(request: Request) -> None:
    """Run what a process that stood by has become.

    What multiprocessing starts does what it does at its end itself, as where it is forked.
    """
    if "code" in request:
        exec(request["code"], {"__name__": "__main__"})
    else:
        to_the_end(functools.partial(_run_module, request["module"]))


def _run_module(module: str) -> None:
    """Run a module as `python -m` does, with what it starts standing by."""
    sys.path[0] = os.getcwd()
    if module == "uvicorn":
        # The app reads these variables when it is imported, as the ancestor did with its own.
        for name in [name for name in sys.modules if f"{name}.".startswith("mlflow.server.")]:
            del sys.modules[name]
        workers = int(sys.argv[sys.argv.index("--workers") + 1])
        stand_by(workers if workers > 1 else 0)
    else:
        stand_by(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
