"""Run what a command does within the user's own program: one call at a time, and what a call
changes in the process is put back when it ends.

A command of the command line has its process to itself. Here the process may be the kernel of a
notebook, a test, or a server with other threads. MLflow, warnings, logging and the environment have
one state for the whole process, so calls from several threads wait for each other.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from search.errors import LockstepError, OutputLostError
from search.settings import Settings

Result = TypeVar("Result")

_KEPT = "Finished trials are kept; the same call continues."
_one_at_a_time = threading.RLock()
_VARIABLES = re.compile("_?MLFLOW_.*|no_proxy|NO_PROXY|PYTHONWARNINGS")
_LOGGERS = ("", "mlflow", "alembic", "optuna", "urllib3.connectionpool")


def called(action: Callable[[], Result], settings: Settings) -> Result:
    """Return what an action returns that does what a command does.

    Raises LockstepError with the sentence that the command line prints. If Ctrl-C asks to stop,
    raises KeyboardInterrupt once that is safe, so that nothing that follows is run. Any other
    signal is sent again, for what the program does on it.
    """
    from search.commands.interrupts import InterruptedStudyError

    try:
        with plainly(), _one_at_a_time, _as_before():
            return _telling_faults(action, settings)
    except InterruptedStudyError as error:
        asked, reason = error.signal, error.reason
    if asked is None:
        raise LockstepError(f"stopped{reason}. {_KEPT}")
    if asked != signal.SIGINT:
        signal.raise_signal(asked)
    raise KeyboardInterrupt(f"stopped. {_KEPT}")


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Raise a LockstepError of the block without the way to it, which is ours and not the user's.

    Its text is the whole message.
    """
    try:
        yield
    except LockstepError as error:
        raise type(error)(*error.args) from None


def _telling_faults(action: Callable[[], Result], settings: Settings) -> Result:
    """Return what an action returns. Raises LockstepError for what the system refuses, too."""
    from search.failures import OUT_OF_MEMORY, in_a_home, telling_faults

    @in_a_home
    @telling_faults
    def command(*, home: Path, storage: str | None) -> Result:
        return action()

    try:
        return command(home=settings.home, storage=settings.storage)
    except OutputLostError as error:
        raise LockstepError(f"what it prints cannot be written: {error}") from error
    except MemoryError as error:
        raise LockstepError(OUT_OF_MEMORY) from error


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """Prepare this process for a command, and put back what was there before."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ValueError):  # of a backend that there is not
            import matplotlib  # noqa: F401  It reads the program's backend from the environment.
        stack.enter_context(_environment())
        stack.enter_context(_no_warnings())
        stack.enter_context(_start_method())
        # They set up logging when they are imported, which is theirs to do.
        import mlflow
        import optuna  # noqa: F401

        stack.enter_context(_logging())
        is_set: Callable[[], bool] = mlflow.is_tracking_uri_set
        name: Callable[[str | None], None] = mlflow.set_tracking_uri  # type: ignore[assignment]
        uri = mlflow.get_tracking_uri() if is_set() else None
        try:
            yield
        finally:
            if is_set() and mlflow.get_tracking_uri() != uri:
                name(uri)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Prepare the environment; put back the variables that a command changes."""
    from search.environment import drop_foreign, exempt_loopback

    before = {name: value for name, value in os.environ.items() if _VARIABLES.fullmatch(name)}
    try:
        drop_foreign(os.environ)
        exempt_loopback(os.environ)
        os.environ.pop("PYTHONWARNINGS", None)  # which training processes would heed
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"
        yield
    finally:
        for name in [each for each in os.environ if _VARIABLES.fullmatch(each)]:
            if name not in before:
                del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Let no warning of a package be shown, or be an error as the program may ask for its own."""
    options = sys.warnoptions[:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.warnoptions.clear()  # which processes that are started would be given
        try:
            yield
        finally:
            sys.warnoptions[:] = options


@contextlib.contextmanager
def _start_method() -> Iterator[None]:
    """Leave the program free to choose how its own processes are started."""
    before: Any = multiprocessing.get_start_method(allow_none=True)
    try:
        yield
    finally:
        if before is None:
            multiprocessing.set_start_method(None, force=True)


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Put back the levels, handlers and filters of loggers that a command changes."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(each.level, each.handlers[:], each.filters[:]) for each in loggers]
    try:
        yield
    finally:
        for logger, (level, handlers, filters) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.handlers[:] = handlers
            logger.filters[:] = filters
