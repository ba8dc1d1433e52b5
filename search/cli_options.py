"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from search.errors import LockstepError
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


def _studies(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the studies that may be meant: of studies/ and of the home, or else files."""
    from search.spec.named_study import known_studies

    home = context.params.get("home") or Path("runs")
    names = [name for name in known_studies(home) if name.startswith(incomplete)]
    return list(map(CompletionItem, names)) or [CompletionItem(incomplete, type="file")]


def _keys(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the keys of a study file that may be meant."""
    from search.spec.study_spec import known_keys

    return [CompletionItem(f"{key}=") for key in known_keys() if key.startswith(incomplete)]


_variants = (
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=_keys,
        help="Set a key of the study file, such as model.epochs=50 or space.batch_size=[16,64]. "
        "Give it once for each key.",
    ),
    click.option(
        "--name",
        metavar="NAME",
        help="Give the study another name than its file does, so that both are kept.",
    ),
)


def study(command: Command) -> Command:
    """Add the argument STUDY and the options that change it; the command gets its `StudySpec`."""
    return click.argument("study", shell_complete=_studies)(_changeable(_with_spec(command)))


def studies(command: Command) -> Command:
    """Add the argument STUDY for one study or several, and the options that change them; the
    command gets their `StudySpec`s."""
    argument = click.argument("study", nargs=-1, required=True, shell_complete=_studies)
    return argument(_changeable(_with_specs(command)))


def _changeable(command: Command) -> Command:
    """Add the options that change a study."""
    for option in _variants:
        command = option(command)
    return command


def _with_spec(command: Command) -> Command:
    """Wrap a command of one study."""

    @functools.wraps(command)
    def wrapped(
        study: str, overrides: tuple[str, ...], name: str | None, home: Path, **options: Any
    ) -> Any:
        from search.spec.named_study import named_study

        to_launch = command.__name__ == "launch"
        spec = named_study(study, home, overrides, name, to_launch=to_launch)
        return command(spec=spec, home=home, **options)

    return cast(Command, wrapped)


def _with_specs(command: Command) -> Command:
    """Wrap a command of several studies, all of which get the keys that are set."""

    @functools.wraps(command)
    def wrapped(
        study: tuple[str, ...],
        overrides: tuple[str, ...],
        name: str | None,
        home: Path,
        **options: Any,
    ) -> Any:
        from search.spec.named_study import named_study

        if name is not None and len(study) > 1:
            raise LockstepError(f"--name {name}: it names one study, and {len(study)} are given")
        specs = [named_study(each, home, overrides, name) for each in study]
        return command(specs=specs, home=home, **options)

    return cast(Command, wrapped)


as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on the last line of stdout."
)
