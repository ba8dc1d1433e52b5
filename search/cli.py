"""The command line: parse the options, call one function, print its text.

Slow imports are inside the commands, so that --help is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from search import cli_options
from search.console import Console
from search.environment import prepare
from search.errors import LockstepError
from search.failures import exit_code, report_crash
from search.process import begin, end
from search.settings import UI_PORT, Settings

if TYPE_CHECKING:
    from search.spec.study_spec import StudySpec

ASK_ABOVE = 20_000  # trials; it takes several minutes to log so many


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(
    package_name="lockstep",
    message="%(prog)s %(version)s (`lockstep doctor` prints all that a bug report needs)",
)
def cli() -> None:
    """Exhaustive hyperparameter search for softmax regression, made cheap.

    A STUDY is a TOML file (or its name without .toml, when it is in studies/). It says which data
    to learn from, and which learning rates, weight decays and batch sizes to try. Trials that share
    a batch size are trained together, in lockstep; each becomes an MLflow run.

    \b
    Start here:
      lockstep launch digits-3v6     train every combination (seconds; data included)
      lockstep compare digits-3v6    ranking, heat maps, links
      lockstep ui digits-3v6         the runs side by side in your browser
      lockstep retrain digits-3v6    train the best again, score it on the test set

    For data of your own, lockstep writes the study file:

    \b
      lockstep init my.csv           look at the data, write my.toml
      lockstep launch my.toml        then as above

    \b
    Tab completes, studies and keys too, with this line in ~/.bashrc (in ~/.zshrc: zsh_source):
      eval "$(_LOCKSTEP_COMPLETE=bash_source lockstep)"
    """
    prepare()


@cli.command()
@click.argument("file")
@click.option(
    "--label",
    metavar="COLUMN",
    help="The column of a table that has the labels. By default, the one that is called label, "
    "class, target or y, else the last one.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="Y.npy",
    help="The file with the labels of an .npy file. By default, y.npy beside it.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="STUDY.toml",
    help="The study file to write. By default, it is named like FILE and lies in this folder.",
)
@cli_options.data_dir
@cli_options.as_json
def init(file: str, as_json: bool, **options: Any) -> None:
    """Look at the data in FILE and write a study file that fits it.

    FILE is a table (.csv, .tsv, .parquet), arrays (.npz with X and y, or .npy with its labels
    beside it), or the name of a data set that is known: digits, iris, wine, breast-cancer, mnist,
    fashion-mnist.

    The study file says in comments what was found: rows, features, classes, what is left out. Its
    learning rates go up to what the curvature of the loss on this data allows; batch sizes and
    epochs follow from the number of rows, and small data is divided into folds. Read it and change
    what you like. A study file that exists is never overwritten.

    \b
      lockstep init my.csv
      lockstep launch my.toml
      lockstep retrain my.toml
    """
    from search.commands import init as action

    console = Console(as_json)
    written = action.init(file, console, **options)
    console.say(action.summary(written))
    console.result(written.as_json())


@cli.command()
@cli_options.places
@cli_options.study
@cli_options.training
@click.option(
    "--yes", is_flag=True, help=f"Do not ask before running more than {ASK_ABOVE:,} trials."
)
@cli_options.as_json
def launch(spec: StudySpec, as_json: bool, yes: bool, **options: Any) -> None:
    """Train every trial of STUDY, or those that are still missing.

    Stop it whenever you like: finished trials are kept, and the same command continues the study.
    With --set it is recorded in the home how the study differs from its file, so that the other
    commands find it by its name.

    \b
      lockstep launch digits-3v6 --set model.epochs=50 --set space.batch_size=[16,64] \\
          --name digits-50
      lockstep compare digits-50
    """
    from search.commands import launch as action
    from search.commands.launch_report import summary

    console, settings = Console(as_json), Settings(**options)
    if (spec.budget or 0) > ASK_ABOVE and not yes:
        _ask(f"{spec.file}: {spec.budget:,} trials are very many")
    report = action.launch(spec, settings, console)
    console.say(summary(report, spec, settings))
    console.result(report.as_json())


def _ask(what: str) -> None:
    """Ask whether to go on. Raises LockstepError where nobody can answer, and click.Abort on no."""
    if not sys.stdin.isatty():
        raise LockstepError(f"{what}: give fewer points or trials, or add --yes to run them all")
    click.confirm(f"{what}. Run them all?", abort=True, err=True)


@cli.command()
@cli_options.places
@cli_options.study
@cli_options.training
@click.option(
    "--weights",
    is_flag=True,
    help="Make the weights of all trials again, where those of the best only are kept. A launch "
    "does not remove them.",
)
@cli_options.as_json
def sync(spec: StudySpec, as_json: bool, weights: bool, **options: Any) -> None:
    """Restore the runs of STUDY that are missing from MLflow.

    Their trials are still in Optuna's storage. They are trained again, which gives the same
    numbers, and their runs are written again. Retrain runs and models are not restored.
    """
    from search.commands import sync as action

    console, settings = Console(as_json), Settings(**options)
    report = action.sync(spec, settings, console, weights=weights)
    console.say(action.summary(report, spec))
    console.result(report.as_json())


@cli.command()
@cli_options.home
@cli_options.study
@cli_options.as_json
def show(spec: StudySpec, home: Path, as_json: bool) -> None:
    """Print the file of STUDY as it is understood, with all defaults.

    What is printed is a study file, too: of a variant that was launched with --set and --name, it
    makes a file of its own. Nothing is read but the file, and nothing is written.

    \b
      lockstep show digits-3v6 --set space.batch_size=[16,64]
      lockstep show digits-50 > digits-50.toml
    """
    from search.commands import show as action

    console = Console(as_json)
    console.say(action.text(spec))
    console.result(action.as_json(spec))


@cli.command()
@cli_options.places
@cli_options.studies
@cli_options.as_json
def compare(specs: Sequence[StudySpec], as_json: bool, **options: Any) -> None:
    """Rank the trials of STUDY and say how certain the ranking is.

    It shows standard errors over the validation examples, how many trials are statistically
    indistinguishable from the best, the simplest trial within one standard error of the best, and
    how much too good the best score looks. It also draws heat maps and prints links to the MLflow
    UI. Several studies are compared by their best trials, example by example if the studies share
    the validation split.
    """
    from search.commands import compare as action
    from search.commands import compare_studies

    console, settings = Console(as_json), Settings(**options)
    found = [action.compare(spec, settings, console) for spec in specs]
    if len(found) == 1:
        console.say(action.summary(found[0]))
        console.result(found[0].as_json())
    else:
        together = compare_studies.compare_studies(found)
        console.say(compare_studies.summary(together))
        console.result(together.as_json())


@cli.command()
@cli_options.places
@cli_options.study
@click.option(
    "--output",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file to write, ending in .html, .csv or .parquet; give it once for each. By default, "
    "one of each in the study's folder in --home.",
)
@cli_options.as_json
def export(spec: StudySpec, files: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Write the trials of STUDY as CSV and Parquet, and all that it found as one page.

    The tables have a row for each trial, the best first. The page has the findings, the figures,
    the weights of the best trials and the study file in a single HTML file, which can be mailed and
    opened anywhere: it has no scripts and loads nothing.

    \b
      lockstep export digits-3v6
      lockstep export digits-3v6 --output trials.csv --output for-my-supervisor.html
    """
    from search.commands import export as action

    console, settings = Console(as_json), Settings(**options)
    written = action.export(spec, settings, console, files)
    console.say(action.summary(written))
    console.result(written.as_json())


@cli.command()
@cli_options.places
@cli_options.study
@click.option(
    "--rule",
    type=click.Choice(["best", "one-se"]),
    default="best",
    show_default=True,
    help="Take the best on validation, or the simplest within one standard error of it.",
)
@click.option("--trial", type=click.IntRange(0), help="Take the trial of this number instead.")
@click.option(
    "--seeds",
    type=click.IntRange(0, 100),
    default=5,
    show_default=True,
    help="Train this many more times with the examples in other orders, to show the effect of the "
    "order.",
)
@cli_options.as_json
def retrain(
    spec: StudySpec, rule: Literal["best", "one-se"], trial: int | None, seeds: int, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Train the chosen configuration of STUDY on train + validation and score it on the test set.

    It is trained for the study's number of epochs, or only up to its best epoch if its validation
    loss was lower there by more than one standard error. No other command uses the test set. Each
    use is recorded, and every use after the first is labelled as such. The model is registered in
    MLflow under the study's name; the alias "champion" moves to it unless it is worse on validation
    than the present champion.
    """
    from search.commands import retrain as action
    from search.commands.retrain_report import summary

    console, settings = Console(as_json), Settings(**options)
    report = action.retrain(spec, settings, console, rule=rule, number=trial, seeds=seeds)
    console.say(summary(report))
    console.result(report.as_json())
    if report.failure is not None:
        raise report.failure


@cli.command()
@cli_options.places
@cli_options.study
@click.argument("file", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--invert", is_flag=True, help="Invert pictures (dark ink on light paper).")
@cli_options.as_json
def predict(
    spec: StudySpec, file: tuple[Path, ...], invert: bool, as_json: bool, **options: Any
) -> None:
    """Predict the classes of FILEs with the champion of STUDY.

    A FILE is a picture of the size of the training images, or has one row per example, with the
    same features as the training data: an .npz file with an array X, an .npy file, or a table with
    the same columns. Features are raw, as in the training data. The champion is the model that
    `lockstep retrain` registered.
    """
    from search.commands import predict as action

    console, settings = Console(as_json), Settings(**options)
    found = action.predict(spec, settings, file, invert=invert)
    console.say(action.summary(found))
    console.result(found.as_json())


@cli.command()
@cli_options.places
@cli_options.study
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=UI_PORT,
    show_default=True,
    help="Port to serve on; if it is taken, another one is used.",
)
@click.option("--browser/--no-browser", default=True, help="Open the link in a browser.")
def ui(spec: StudySpec, port: int, browser: bool, **options: Any) -> None:
    """Serve the MLflow UI on 127.0.0.1 and open it at the comparison of STUDY's best runs."""
    from search.commands import ui as action

    action.serve(spec, Settings(**options), port, browser, Console().say)


@cli.command()
@cli_options.home
@cli_options.as_json
def doctor(home: Path, as_json: bool) -> None:
    """Print what a bug report needs: versions, processor, BLAS, environment, home folder.

    Passwords are hidden. Nothing is written, and nothing is looked up in a network.
    """
    from search.commands import doctor as action

    console, found = Console(as_json), action.examine(home)
    console.say(action.summary(found))
    console.result(found)


def main() -> None:
    """Run the command line as this process, and end it."""
    begin()
    sys.excepthook = report_crash
    end(run())


def run() -> int:
    """Run the command of the command line, and return its exit code; see `exit_code`."""
    return exit_code(lambda: cli.main(standalone_mode=False))
