"""Open the MLflow store of a study: its client, its experiment and its parent run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from search.errors import LockstepError
from search.postgres import check_reachable, is_postgres
from search.redact import redacted
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.system_errors import is_network
from search.tracking.client import be_patient, impatient, open_client
from search.tracking.experiment import check_experiment, claim_experiment
from search.tracking.explanations import explained
from search.tracking.names import NOTE_TAG, PARENT_TAG, ROLE_TAG, SOURCE_TAG
from search.tracking.own_runs import (
    known_runs,
    mirrored_identity,
    own_parent,
    own_runs,
    tag_own,
)
from search.tracking.owner import owner_tags
from search.tracking.tracker import KnownRuns, RunLocation, Tracker
from search.trials.identity import Identity

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

LAUNCH = "lockstep launch"  # the source that the UI shows for a study's runs
MAX_PARAMETER = 6000  # characters that MLflow allows in one parameter


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


def open_tracker(
    spec: StudySpec,
    settings: Settings,
    identity: Identity,
    before_writing: Callable[[], None] = lambda: None,
) -> Tracker:
    """Find or create the study's experiment and parent run, and return a tracker that writes to
    them.

    identity: the study's, with the run ids of the recorded trials. The study's own runs of other
    trials were written by a driver that was killed before it could record them; they will be
    replaced. Runs of others are left alone. before_writing: called before anything is written.

    Raises LockstepError if MLflow cannot be used, or has something of that name that is somebody
    else's.
    """
    be_patient(settings)
    with _reachable(settings):
        client = open_client(settings)
        experiment, is_new = claim_experiment(client, spec.name, settings, identity, before_writing)
        experiment_id = str(experiment.experiment_id)
        trials, retrains = (
            [] if is_new else own_runs(client, experiment_id, identity, role)
            for role in ("trial", "retrain")
        )
        known = known_runs(client, trials, identity.trials)
        parent = None if is_new else _parent(client, experiment_id, identity)
        run_id = parent or _new_parent(client, experiment_id, spec, identity)
        location = RunLocation(experiment_id, _artifacts(experiment), run_id, LAUNCH, identity)
        tracker = Tracker(client, spec, settings, location, known)
        if parent is None:
            flat = _flat(spec.defining()).items()
            params = {key: value[:MAX_PARAMETER] for key, value in flat}
            tracker.log_values(run_id, metrics={}, params=params)
            for orphan in (*trials, *retrains):
                client.set_tag(orphan.info.run_id, PARENT_TAG, run_id)
        tag_own(client, (*trials, *retrains), identity)
        return tracker


def _artifacts(experiment: Experiment) -> str:
    """Return the address of the experiment's artifacts without a slash at its end."""
    return str(experiment.artifact_location).rstrip("/")


def _parent(client: MlflowClient, experiment_id: str, identity: Identity) -> str | None:
    """Return the id of the study's own run, which is then running; None if there is none.

    One that was deleted in the UI is restored.
    """
    parent = own_parent(client, experiment_id, identity)
    if parent is None:
        parent = own_parent(client, experiment_id, identity, "deleted_only")
        if parent is None:
            return None
        client.restore_run(parent.info.run_id)
    tag_own(client, [parent], identity)
    client.update_run(parent.info.run_id, status="RUNNING")
    return str(parent.info.run_id)


def _new_parent(
    client: MlflowClient, experiment_id: str, spec: StudySpec, identity: Identity
) -> str:
    """Create the study's own run, and return its id."""
    tags = {
        ROLE_TAG: "study",
        SOURCE_TAG: LAUNCH,
        NOTE_TAG: spec.description,
        **owner_tags(identity),
    }
    run = client.create_run(experiment_id, run_name=f"{spec.name} (study)", tags=tags)
    return str(run.info.run_id)


def load_tracker(
    spec: StudySpec, settings: Settings, source: str, identity: Identity | None = None
) -> Tracker:
    """Return a tracker for a study that was launched, leaving its parent run as it is.

    source: the command that writes, as the UI shows it. identity: the study's, None to take the
    study that MLflow has under this name.

    Raises LockstepError if MLflow cannot be used, has no runs of the study, or has something of its
    name that is somebody else's.
    """
    if settings.tracking_uri is None and not settings.mlflow_file.is_file():
        raise LockstepError(_no_runs(spec, settings))
    with _reachable(settings):
        client = open_client(settings)
        experiment = client.get_experiment_by_name(spec.name)
        if experiment is None:
            raise LockstepError(_no_runs(spec, settings))
        identity = identity or mirrored_identity(client, experiment)
        check_experiment(client, experiment, settings, identity)
        experiment_id = str(experiment.experiment_id)
        parent = own_parent(client, experiment_id, identity)
        if parent is None:
            raise LockstepError(_no_runs(spec, settings))
        run_id = str(parent.info.run_id)
        location = RunLocation(experiment_id, _artifacts(experiment), run_id, source, identity)
        return Tracker(client, spec, settings, location, KnownRuns())


def _no_runs(spec: StudySpec, settings: Settings) -> str:
    """Return the error message for a study that has no runs in the store."""
    return (
        f"MLflow at {redacted(settings.mlflow_uri)} has no runs of {spec.name}: launch it, name "
        "the server that it was launched with (--tracking-uri), or, if they are lost, `lockstep "
        "sync` it"
    )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a nested table as one level, with keys joined by dots and values as text."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
