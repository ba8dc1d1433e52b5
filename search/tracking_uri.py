"""What --tracking-uri and --ui-address may name: a server of MLflow or its database, and its UI."""

from __future__ import annotations

from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from search.errors import LockstepError
from search.redact import redacted

_VARIABLE, _OPTION = "MLFLOW_TRACKING_URI", "--tracking-uri"
_UI_VARIABLE, _UI_OPTION = "LOCKSTEP_UI_ADDRESS", "--ui-address"
_RIGHT = (
    "name a server (http://HOST:PORT) or a database (sqlite:////PATH/mlflow.db, postgresql://…), "
    "or {} to use the store in --home"
)


def checked_tracking_uri(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Return the value of the option. Raises LockstepError if it names what cannot hold a study."""
    if value is None:
        return None
    source = context.get_parameter_source(parameter.name or "")
    from_environment = source is ParameterSource.ENVIRONMENT
    name = f"the environment variable {_VARIABLE}" if from_environment else _OPTION
    remedy = _RIGHT.format(f"unset {_VARIABLE}" if from_environment else "leave it out")
    if (wrong := _wrong(value)) is not None:
        raise LockstepError(f"{name} = {redacted(value)!r}: {wrong}; {remedy}")
    return value


def checked_ui_address(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Return the value of the option. Raises LockstepError if no link can begin with it."""
    if value is None:
        return None
    source = context.get_parameter_source(parameter.name or "")
    from_environment = source is ParameterSource.ENVIRONMENT
    name = f"the environment variable {_UI_VARIABLE}" if from_environment else _UI_OPTION
    try:
        parts = urlsplit(value)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number, or the brackets of the host do not match
        right = False
    if not right or parts.query or parts.fragment or value.strip() != value:
        raise LockstepError(
            f"{name} = {redacted(value)!r}: links cannot begin with this; name where your browser "
            "reaches the MLflow UI (http://HOST:PORT), or leave it out"
        )
    return value


def _wrong(uri: str) -> str | None:
    """Return why a URI cannot be a study's store, None if it may be."""
    scheme = urlsplit(uri).scheme
    if not uri.strip():
        return "nothing is named, perhaps because a variable of the shell is empty"
    if uri in ("databricks", "uc") or scheme in ("databricks", "databricks-uc", "uc"):
        return "on Databricks, experiments and models have other names than studies have"
    if scheme == "file" or len(scheme) < 2:  # the C of C:\\mlruns is none
        return "this is a folder, in which MLflow no longer keeps runs"
    return None
