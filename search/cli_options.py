"""Options and arguments that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from search.failures import in_a_home, telling_faults
from search.tracking_uri import checked_tracking_uri, checked_ui_address

Command = TypeVar("Command", bound=Callable[..., Any])

_EMPTY = "nothing is named, perhaps because a variable of the shell is empty."


class _Folder(click.Path):
    """The type of an option that names a folder. An empty text is none, and not this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).strip():
            self.fail(_EMPTY, param, ctx)
        return super().convert(value, param, ctx)


def _named(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the value of an option. Raises BadParameter if it is empty."""
    if value is not None and not value.strip():
        raise click.BadParameter(_EMPTY, context, parameter)
    return value


_home = click.option(
    "--home",
    type=_Folder(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder for all that a launch writes: Optuna journal, MLflow store, figures.",
)


def home(command: Command) -> Command:
    """Add the option that names the folder which is written to, and tell what is wrong with it."""
    return _home(telling_faults(command))


data_dir = click.option(
    "--data-dir",
    type=_Folder(path_type=Path, file_okay=False),
    help="Folder of data files (IDX)  [env: LOCKSTEP_DATA]",
)


def places(command: Command) -> Command:
    """Add the options that say where files and servers are."""
    command = home(in_a_home(command))
    for option in (
        click.option(
            "--storage",
            metavar="URL",
            envvar="LOCKSTEP_STORAGE",
            callback=_named,
            help="Optuna storage instead of the journal in --home  [env: LOCKSTEP_STORAGE]",
        ),
        click.option(
            "--tracking-uri",
            metavar="URI",
            envvar="MLFLOW_TRACKING_URI",
            callback=checked_tracking_uri,
            help="MLflow server or database instead of the store in --home  [env: "
            "MLFLOW_TRACKING_URI]. Of MLflow's other variables only those count that say how a "
            "server is reached, such as MLFLOW_TRACKING_TOKEN and MLFLOW_HTTP_REQUEST_TIMEOUT.",
        ),
        click.option(
            "--ui-address",
            "public_address",
            metavar="URL",
            envvar="LOCKSTEP_UI_ADDRESS",
            callback=checked_ui_address,
            help="Where your browser reaches the MLflow UI, if not under the name of "
            "--tracking-uri: links begin with it  [env: LOCKSTEP_UI_ADDRESS]",
        ),
        data_dir,
    ):
        command = option(command)
    return command


def training(command: Command) -> Command:
    """Add the options of the commands that train trials and write their runs."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(1, 1024),
            default=os.cpu_count() or 1,
            show_default="number of cores",
            help="Number of training processes.",
        ),
        click.option(
            "--recorders",
            type=click.IntRange(1, 64),
            help="Number of processes that write runs to MLflow; 1: the driver does. By default, "
            "up to 4, by cores, where there are many runs to write.",
        ),
        click.option(
            "--cluster",
            metavar="ADDRESS",
            envvar="LOCKSTEP_CLUSTER",
            callback=_named,
            help="Train on a Dask cluster: the address of its scheduler (tcp://scheduler:8786, "
            "tls://…), or `local` to start one with --workers on this machine  [env: "
            "LOCKSTEP_CLUSTER]",
        ),
        click.option(
            "--patience",
            type=click.FloatRange(0),
            default=120.0,
            show_default=True,
            help="Seconds to wait for a PostgreSQL or MLflow server that stops answering.",
        ),
        click.option(
            "--every-epoch",
            is_flag=True,
            help="Log every epoch to MLflow. By default, only those that show the same curve are: "
            "the first four, then each a quarter later than the one before, and the last.",
        ),
    ):
        command = option(command)
    return command


study = click.argument("study")
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on the last line of stdout."
)
