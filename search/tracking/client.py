"""Open a client of MLflow, and say how long it waits, what it prints and what its errors mean."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from search.database import MLFLOW, has_tables, sqlite_file
from search.errors import LockstepError
from search.postgres import connect_args, is_postgres
from search.redact import redacted
from search.settings import Settings
from search.tracking.explanations import explained
from search.tracking.sqlite_file import make_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET_SECONDS = 60.0  # A failure is shown if there was none for so long before it.


def open_client(settings: Settings) -> MlflowClient:
    """Return a client of MLflow. A store in the home is created if it does not exist."""
    be_quiet()
    from mlflow import MlflowClient

    retries = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(each, _OneLine) for each in retries.filters):
        retries.addFilter(_OneLine())
    # Silence their tracebacks; the errors are raised, and Lockstep reports them.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if settings.tracking_uri is None:
        make_store(settings)
    else:
        _check_database(settings.tracking_uri)
    return MlflowClient(settings.mlflow_uri, registry_uri=settings.mlflow_uri)


def _check_database(uri: str) -> None:
    """Raise LockstepError if a URI names a database of another program, such as Optuna.

    MLflow would make its tables there.
    """
    if is_postgres(uri):
        arguments = connect_args(uri)
    elif uri.startswith("sqlite:") and (file := sqlite_file(uri)) is not None and file.exists():
        arguments = {}
    else:
        return
    has_tables(uri, f"--tracking-uri {redacted(uri)}", MLFLOW, arguments)


def be_quiet() -> None:
    """Keep MLflow from sending and printing what nobody asked for, unless a variable says
    otherwise. This must come before its import."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def be_patient(settings: Settings) -> None:
    """Make calls to a server that does not answer wait for it as long as the settings say, unless a
    variable says otherwise."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(_retries(settings.patience)))


def _retries(patience: float) -> int:
    """Return how many retries of MLflow's client fit into the patience, in seconds.

    The client waits 0, 4, 8, 16, … s before its retries.
    """
    return min(10, 1 + round(math.log2(1 + patience / 4)))


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Make calls to a server that does not answer fail within seconds."""
    hasty = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    before = {name: os.environ.get(name) for name in hasty}
    os.environ.update(hasty)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def answering(settings: Settings) -> Iterator[None]:
    """Turn MLflow's errors into a LockstepError that says what is safe and what to do."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        uri = redacted(settings.mlflow_uri)
        raise LockstepError(
            f"MLflow at {uri} failed ({explained(error, settings)}): finished trials are kept; "
            "once it works again, the same command continues"
        ) from error


class _OneLine(logging.Filter):
    """A log filter that shows the retries of MLflow's client as one readable warning."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -math.inf  # when the server last did not answer

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the message, and return whether the last one is long enough ago to show it."""
        first = time.monotonic() - self._last > QUIET_SECONDS
        self._last = time.monotonic()
        record.msg, record.args = "MLflow does not answer; trying again …", ()
        return first
