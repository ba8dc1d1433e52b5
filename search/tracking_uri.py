"""What --tracking-uri and MLFLOW_TRACKING_URI may name: a server of MLflow, or its database."""

from __future__ import annotations

from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from search.errors import LockstepError
from search.redact import redacted

_VARIABLE, _OPTION = "MLFLOW_TRACKING_URI", "--tracking-uri"
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
