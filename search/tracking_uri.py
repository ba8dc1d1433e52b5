"""What --tracking-uri and --ui-address may name: a server of MLflow or its database, and its UI."""

from __future__ import annotations

import os
from collections.abc import Callable
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


Check = Callable[[str, bool], None]  # of a value, and whether it is from the environment


def _checked(
    context: click.Context, parameter: click.Parameter, value: str | None, check: Check
) -> str | None:
    """Return the value of an option. Raises what the check raises."""
    if value is not None:
        source = context.get_parameter_source(parameter.name or "")
        check(value, source is ParameterSource.ENVIRONMENT)
    return value


def _named(given: str | None, variable: str, check: Check) -> str | None:
    """Return what a caller gives, or else the value of a variable, None without one. Raises what
    the check raises."""
    value = (os.environ.get(variable) or None) if given is None else given
    if value is not None:
        check(value, given is None)
    return value


def checked_tracking_uri(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Return the value of the option. Raises LockstepError if it names what cannot hold a study."""
    return _checked(context, parameter, value, check_tracking_uri)


def named_tracking_uri(given: str | None) -> str | None:
    """Return the URI that a caller gives, or else that of the environment, None without one.

    Raises LockstepError if it names what cannot hold a study.
    """
    return _named(given, _VARIABLE, check_tracking_uri)


def check_tracking_uri(value: str, from_environment: bool) -> None:
    """Raise LockstepError if a URI names what cannot hold a study."""
    name = f"the environment variable {_VARIABLE}" if from_environment else _OPTION
    remedy = _RIGHT.format(f"unset {_VARIABLE}" if from_environment else "leave it out")
    if (wrong := _wrong(value)) is not None:
        raise LockstepError(f"{name} = {redacted(value)!r}: {wrong}; {remedy}")


def checked_ui_address(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Return the value of the option. Raises LockstepError if no link can begin with it."""
    return _checked(context, parameter, value, check_ui_address)


def named_ui_address(given: str | None) -> str | None:
    """Return the address that a caller gives, or else that of the environment, None without one.

    Raises LockstepError if no link can begin with it.
    """
    return _named(given, _UI_VARIABLE, check_ui_address)


def check_ui_address(value: str, from_environment: bool) -> None:
    """Raise LockstepError if no link can begin with an address."""
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
