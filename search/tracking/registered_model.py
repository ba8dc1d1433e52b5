"""Tell a study's own registered model from one of that name that is somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.errors import LockstepError
from search.redact import redacted
from search.settings import Settings
from search.tracking.names import STUDY_TAG
from search.tracking.owner import owner_in_words, owner_tags
from search.trials.identity import Identity

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

_EXISTS, _MISSING = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"  # MLflow's error codes


def is_own_version(version: ModelVersion, identity: Identity) -> bool:
    """Return whether the study registered a model version.

    A version of an earlier release has no tag; it belongs to the study that recorded its run.
    """
    owner = version.tags.get(STUDY_TAG)
    if owner is not None:
        return bool(owner == identity.study_id)
    return version.run_id in identity.retrains


def check_registered_model(
    client: MlflowClient, name: str, settings: Settings, identity: Identity
) -> None:
    """Raise LockstepError if the registered model of this name is somebody else's.

    One without an owner's tag is the study's own if it has a version that the study registered, and
    free if it has no versions. Nothing is written.
    """
    model = _model(client, name)
    if model is None:
        return
    owner = model.tags.get(STUDY_TAG)
    if owner is None:
        versions = _versions(client, name)
        if not versions or any(is_own_version(each, identity) for each in versions):
            return
        whose = "was not registered by this study"
    elif owner == identity.study_id:
        return
    else:
        whose = owner_in_words(model.tags)
    raise LockstepError(
        f"registered model {name} in MLflow at {redacted(settings.mlflow_uri)} {whose}, and is "
        "left as it is: give this study another name in its file, name another --tracking-uri, "
        "or rename that model on its page in the MLflow UI"
    )


def claim_registered_model(
    client: MlflowClient, name: str, settings: Settings, identity: Identity
) -> None:
    """Create the study's registered model, or take it over if it is free.

    MLflow lets only one of several studies create it. Raises LockstepError if it is somebody
    else's.
    """
    from mlflow.exceptions import MlflowException

    tags = owner_tags(identity, settings)
    try:
        client.create_registered_model(name, tags)
        return
    except MlflowException as error:
        if error.error_code != _EXISTS:
            raise
    check_registered_model(client, name, settings, identity)
    for key, value in tags.items():
        client.set_registered_model_tag(name, key, value)
    for version in _versions(client, name):
        if STUDY_TAG not in version.tags and is_own_version(version, identity):
            client.set_model_version_tag(name, version.version, STUDY_TAG, tags[STUDY_TAG])


def _model(client: MlflowClient, name: str) -> RegisteredModel | None:
    """Return the registered model of this name, None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != _MISSING:
            raise
        return None


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return all versions of a registered model, read page by page."""
    versions: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        versions += page
        token = page.token
        if not token:
            return versions
