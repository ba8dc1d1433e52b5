"""Open the MLflow store of a study: its client, its experiment and its parent run."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from search.errors import LockstepError
from search.postgres import check_reachable, is_postgres
from search.redact import redacted
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.system_errors import is_network
from search.tracking.explanations import explained
from search.tracking.names import NOTE_TAG, PARENT_TAG, ROLE_TAG, SOURCE_TAG, TRIAL_TAG
from search.tracking.sqlite_file import make_store
from search.tracking.tracker import KnownRuns, RunLocation, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

QUIET_SECONDS = 60.0  # A failure is shown if there was none for so long before it.
LAUNCH = "lockstep launch"  # the source that the UI shows for a study's runs
MAX_PARAMETER = 6000  # characters that MLflow allows in one parameter


def _client(settings: Settings) -> MlflowClient:
    """Return a client of MLflow. A store in the home is created if it does not exist."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    retries = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(each, _OneLine) for each in retries.filters):
        retries.addFilter(_OneLine())
    # Silence their tracebacks; the errors are raised, and Lockstep reports them.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if settings.tracking_uri is None:
        make_store(settings)
    return MlflowClient(settings.mlflow_uri, registry_uri=settings.mlflow_uri)


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


def delete_strays(tracker: Tracker, recorded: Mapping[int, str]) -> None:
    """Delete the trial runs that no recorded trial refers to.

    If a server restarts after it created a run, its answer is lost and the client asks for another
    run; the first one is then never used.
    """
    known = set(recorded.values())
    for run in _find(tracker.client, tracker.experiment_id, f"tags.`{ROLE_TAG}` = 'trial'"):
        if run.info.run_id not in known:
            tracker.client.delete_run(run.info.run_id)


@contextlib.contextmanager
def _reachable(settings: Settings) -> Iterator[None]:
    """Turn any error while opening MLflow or its database into a LockstepError, within seconds."""
    try:
        if is_postgres(settings.tracking_uri):
            check_reachable(settings.mlflow_uri)  # MLflow would try for 100 seconds
        with impatient():
            yield
    except LockstepError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not is_network(error):
            raise  # what the system refuses is told with its place
        uri = redacted(settings.mlflow_uri)
        raise LockstepError(
            f"MLflow at {uri} cannot be used: {explained(error, settings)}"
        ) from error


def open_tracker(spec: StudySpec, settings: Settings, recorded: Mapping[int, str]) -> Tracker:
    """Find or create the study's experiment and parent run, and return a tracker that writes to
    them.

    recorded: run ids of the recorded trials, by trial number. Trial runs with other numbers were
    written by a driver that was killed before it could record them; they will be replaced.

    Raises LockstepError if MLflow cannot be used.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(_retries(settings.patience)))
    with _reachable(settings):
        client = _client(settings)
        experiment = _experiment(client, spec, settings)
        experiment_id = str(experiment.experiment_id)
        parent = _parent(client, experiment_id)
        if parent is not None:
            run_id = str(parent.info.run_id)
            client.update_run(run_id, status="RUNNING")
        else:
            run_id = str(
                client.create_run(
                    experiment_id,
                    run_name=f"{spec.name} (study)",
                    tags={
                        ROLE_TAG: "study",
                        SOURCE_TAG: LAUNCH,
                        NOTE_TAG: spec.description,
                    },
                ).info.run_id
            )
        location = RunLocation(experiment_id, _artifacts(experiment), run_id, LAUNCH)
        known = _known_runs(client, experiment_id, recorded)
        tracker = Tracker(client, spec, settings, location, known)
        if parent is None:
            flat = _flat(spec.defining()).items()
            params = {key: value[:MAX_PARAMETER] for key, value in flat}
            tracker.log_values(run_id, metrics={}, params=params)
            for orphan in _find(client, experiment_id, f"tags.`{PARENT_TAG}` != '{run_id}'"):
                client.set_tag(orphan.info.run_id, PARENT_TAG, run_id)
        return tracker


def _known_runs(client: MlflowClient, experiment_id: str, recorded: Mapping[int, str]) -> KnownRuns:
    """Return the trial runs in the store, and delete repeated runs that were never recorded."""
    active: set[str] = set()
    leftovers: dict[int, str] = {}
    for run in _find(client, experiment_id, f"tags.`{ROLE_TAG}` = 'trial'"):
        number, run_id = int(run.data.tags[TRIAL_TAG]), str(run.info.run_id)
        if number not in recorded:
            leftovers[number] = run_id
        elif recorded[number] == run_id:
            active.add(run_id)
        else:  # rewritten by a driver that was killed before recording it
            client.delete_run(run_id)
    return KnownRuns(frozenset(active), leftovers)


def _artifacts(experiment: Experiment) -> str:
    """Return the address of the experiment's artifacts without a slash at its end."""
    return str(experiment.artifact_location).rstrip("/")


def _parent(client: MlflowClient, experiment_id: str) -> Run | None:
    """Return the study's own run, restored if it was deleted in the UI; None if there is none."""
    from mlflow.entities import ViewType

    condition = f"tags.`{ROLE_TAG}` = 'study'"
    if active := _find(client, experiment_id, condition):
        return active[0]
    deleted = client.search_runs([experiment_id], condition, ViewType.DELETED_ONLY, max_results=1)
    if not deleted:
        return None
    client.restore_run(deleted[0].info.run_id)
    return deleted[0]


def load_tracker(spec: StudySpec, settings: Settings, source: str) -> Tracker:
    """Return a tracker for a study that was launched, leaving its parent run as it is.

    source: the command that writes, as the UI shows it. Raises LockstepError if MLflow cannot be
    used or has no runs of the study.
    """
    if settings.tracking_uri is None and not settings.mlflow_file.is_file():
        raise LockstepError(_no_runs(spec, settings))
    with _reachable(settings):
        client = _client(settings)
        experiment = client.get_experiment_by_name(spec.name)
        parent = experiment and _find(
            client, experiment.experiment_id, f"tags.`{ROLE_TAG}` = 'study'"
        )
        if experiment is None or not parent:
            raise LockstepError(_no_runs(spec, settings))
        location = RunLocation(
            str(experiment.experiment_id),
            _artifacts(experiment),
            str(parent[0].info.run_id),
            source,
        )
        return Tracker(client, spec, settings, location, KnownRuns())


def _no_runs(spec: StudySpec, settings: Settings) -> str:
    """Return the error message for a study that has no runs in the store."""
    return (
        f"MLflow at {redacted(settings.mlflow_uri)} has no runs of {spec.name}: launch it, name "
        "the server that it was launched with (--tracking-uri), or, if they are lost, `lockstep "
        "sync` it"
    )


def _experiment(client: MlflowClient, spec: StudySpec, settings: Settings) -> Experiment:
    """Find or create the study's experiment. Raises LockstepError if it was deleted."""
    experiment = client.get_experiment_by_name(spec.name)
    if experiment is None:
        owned = settings.tracking_uri is None
        location = (settings.artifacts / spec.name).as_uri() if owned else None
        return client.get_experiment(
            client.create_experiment(spec.name, artifact_location=location)
        )
    if experiment.lifecycle_stage != "active":
        raise LockstepError(
            f"MLflow experiment {spec.name} was deleted, which keeps its name: restore it "
            f"(`mlflow experiments restore -x {experiment.experiment_id}`) or rename the study"
        )
    return experiment


def _find(client: MlflowClient, experiment_id: str, condition: str) -> list[Run]:
    """Return all active runs that fulfil a condition, read page by page."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], condition, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a nested table as one level, with keys joined by dots and values as text."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
