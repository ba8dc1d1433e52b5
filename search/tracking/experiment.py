"""Find or create a study's experiment, and refuse one that belongs to somebody else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from search.errors import LockstepError
from search.redact import redacted
from search.settings import Settings
from search.tracking.names import STUDY_TAG
from search.tracking.own_runs import own_runs
from search.tracking.owner import owner_in_words, owner_tags
from search.tracking.registered_model import check_registered_model
from search.trials.identity import Identity

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

_EXISTS = "RESOURCE_ALREADY_EXISTS"  # MLflow's error code


def claim_experiment(
    client: MlflowClient,
    name: str,
    settings: Settings,
    identity: Identity,
    before_writing: Callable[[], None],
) -> tuple[Experiment, bool]:
    """Return the study's experiment, and whether it is new: nothing can be in it then.

    If it is missing it is created, and taken over if it is nobody's and has no runs.

    before_writing: called before anything is written. Raises LockstepError if the experiment, or at
    first a registered model of that name, is somebody else's, or if the experiment was deleted.
    """
    tags = owner_tags(identity, settings)
    experiment, is_new = client.get_experiment_by_name(name), False
    if experiment is None:
        _check_models(client, name, settings, identity)
        before_writing()
        experiment, is_new = _created(client, name, settings, tags)
    check_experiment(client, experiment, settings, identity)
    if experiment.tags.get(STUDY_TAG) is None:
        _check_models(client, name, settings, identity)
    missing = {key: value for key, value in tags.items() if experiment.tags.get(key) != value}
    if missing:
        before_writing()
        for key, value in missing.items():
            client.set_experiment_tag(experiment.experiment_id, key, value)
        # Another study may have taken over the same empty experiment at the same moment.
        experiment = client.get_experiment(experiment.experiment_id)
        check_experiment(client, experiment, settings, identity)
    return experiment, is_new


def _created(
    client: MlflowClient, name: str, settings: Settings, tags: dict[str, str]
) -> tuple[Experiment, bool]:
    """Create an experiment together with its tags; return it, and True.

    If another study creates it at the same moment, that one is returned, and False. MLflow lets
    only one of them succeed, so that the tags say whose it is.
    """
    from mlflow.exceptions import MlflowException

    local = settings.tracking_uri is None
    location = (settings.artifacts / name).as_uri() if local else None
    try:
        return client.get_experiment(client.create_experiment(name, location, tags)), True
    except MlflowException as error:
        there = client.get_experiment_by_name(name) if error.error_code == _EXISTS else None
        if there is None:
            raise
        return there, False


def check_experiment(
    client: MlflowClient, experiment: Experiment, settings: Settings, identity: Identity
) -> None:
    """Raise LockstepError if an experiment was deleted or is somebody else's. Nothing is written.

    An experiment without an owner's tag is the study's own if it has a run to which the study's
    storage refers, and free if it has no runs.
    """
    from mlflow.entities import ViewType

    name, number = experiment.name, experiment.experiment_id
    if experiment.lifecycle_stage != "active":
        raise LockstepError(
            f"MLflow experiment {name} was deleted, which keeps its name: restore it "
            f"(`mlflow experiments restore -x {number}`) or rename the study"
        )
    owner = experiment.tags.get(STUDY_TAG)
    if owner is None:
        if not client.search_runs([number], "", ViewType.ALL, max_results=1):
            return
        roles = ("trial", "retrain") if identity.runs else ()
        if any(own_runs(client, number, identity, role, "all") for role in roles):
            return
        whose = "has runs that this study did not write"
    elif owner == identity.study_id:
        return
    else:
        whose = owner_in_words(experiment.tags)
    raise LockstepError(
        f"experiment {name} in MLflow at {redacted(settings.mlflow_uri)} {whose}, and is left as "
        "it is: give this study another name in its file, or name another --tracking-uri; or go on "
        "with the study that is there, with its --home or --storage; or free the name "
        f"(`mlflow experiments rename -x {number} --new-name {name}-before`)"
    )


def _check_models(client: MlflowClient, name: str, settings: Settings, identity: Identity) -> None:
    """Raise LockstepError if a registered model of that name is somebody else's.

    Only `retrain` needs the name, but a study is easiest to rename before its first launch.
    """
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):  # a server may have no registry
        check_registered_model(client, name, settings, identity)
