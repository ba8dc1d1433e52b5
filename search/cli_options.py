"""Options and arguments that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

home = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder for all that a launch writes: Optuna journal, MLflow store, figures.",
)

data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of data files (IDX)  [env: LOCKSTEP_DATA]",
)


def places(command: Command) -> Command:
    """Add the options that say where files and servers are."""
    for option in (
        home,
        click.option(
            "--storage",
            metavar="URL",
            envvar="LOCKSTEP_STORAGE",
            help="Optuna storage instead of the journal in --home  [env: LOCKSTEP_STORAGE]",
        ),
        click.option(
            "--tracking-uri",
            metavar="URI",
            envvar="MLFLOW_TRACKING_URI",
            help="MLflow server instead of the store in --home  [env: MLFLOW_TRACKING_URI]",
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
            "--cluster",
            metavar="ADDRESS",
            help="Train on a Dask cluster: the address of its scheduler (tcp://scheduler:8786, "
            "tls://…), or `local` to start one with --workers on this machine.",
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
            help="Log every epoch to MLflow. By default, only the first ten, then every fifth, and "
            "the last are logged.",
        ),
    ):
        command = option(command)
    return command


study = click.argument("study")
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on the last line of stdout."
)
