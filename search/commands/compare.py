"""Compare the trials of a study: ranking, certainty, heat maps and links into the MLflow UI.

Several studies are compared in `compare_studies.py`.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.datasets.study_data import StudyData
from core.trainer.result import Status
from search.commands.home import readable
from search.commands.layer_table import layer_table
from search.commands.session import results_of
from search.commands.study_data import load_data
from search.commands.study_figures import LAYERS
from search.console import Console, table
from search.errors import LockstepError, NothingToShowError
from search.figures.heat_maps import heat_maps
from search.figures.layers import layers_figure
from search.findings.choice import Choice, Standing
from search.findings.evaluation import Evaluation
from search.findings.scores import ValidationScores, top_accuracies
from search.findings.sentences import none_completed, note
from search.settings import Settings
from search.spec.configuration import features_value, method_names, searched_values, values_of
from search.spec.study_spec import StudySpec
from search.study.opening import load_study
from search.study.search_study import SearchStudy
from search.study.started import scale_changed
from search.tracking.links import BEST_VIEW, SIDE_VIEW
from search.tracking.store import load_tracker
from search.tracking.views import view_urls
from search.trials.finals import Finals
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.repeats import exhausted

HEAT_MAPS = "heat_maps.png"
SHOWN = 10  # the most trials in the table
NONE_KNOWN: Mapping[int, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of comparing the trials of one study.

    trials: best first, and those without a rank last. Of those with the same configuration only
        one has scores.
    finals: the results of the finalists, None if there are none.
    top_5: the top-5 accuracies of the best trials, by number; empty if there are few classes.
    compare_url, charts_url: links into the MLflow UI, None before the first launch has ended (see
        `view_urls`).
    heat_maps: the path of the picture, None if there is none because the home can only be read.
    layers: the same of the picture of the sets of features, None also if there is only one set.
    drawn: whether the pictures are new; if not, the last launch drew them.
    served: whether the links open at once, because MLflow is a server.
    """

    spec: StudySpec
    trials: list[FinishedTrial]
    scores: ValidationScores
    choice: Choice
    finals: Finals | None
    top_5: dict[int, float]
    data: StudyData
    compare_url: str | None
    charts_url: str | None
    heat_maps: str | None
    layers: str | None
    drawn: bool
    served: bool

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        standings = {each.trial.number: each.as_json() for each in self.choice.standings}
        return {
            "study": self.spec.name,
            "data_digest": self.data.digest,
            "choice": self.choice.as_json(),
            "finals": self.finals and self.finals.as_json(),
            "trials": [
                trial_row(trial, self.spec) | standings.get(trial.number, {}) | self._top(trial)
                for trial in self.trials
            ],
            "heat_maps": self.heat_maps,
            **({} if self.choice.layers is None else {"layers": self.layers}),
            "compare_url": self.compare_url,
            "charts_url": self.charts_url,
        }

    def _top(self, trial: FinishedTrial) -> dict[str, float]:
        """Return the trial's top-5 accuracy for `--json`, if it is known."""
        known = self.top_5.get(trial.number)
        return {} if known is None else {"val_top_5_accuracy": known}


def trial_row(trial: FinishedTrial, spec: StudySpec) -> dict[str, Any]:
    """Return what `--json` and an export tell of a trial by name, besides its standing."""
    scored = trial.status is not Status.DIVERGED
    return {
        "number": trial.number,
        **values_of(trial.hyperparameters, spec),
        "status": trial.status.name.lower(),
        "val_loss": trial.val_loss if scored else None,
        "val_accuracy": trial.val_accuracy if scored else None,
        "val_balanced_accuracy": trial.val_balanced_accuracy if scored else None,
        "best_epoch": trial.best_epoch,
        "stopped_epoch": trial.stopped_epoch,
        "run_id": trial.run_id,
        "repeats": trial.repeats,
        **(asdict(trial.spread) if trial.spread else {}),
    }


def compare(spec: StudySpec, settings: Settings, console: Console) -> Comparison:
    """Rank the trials of a study, score them on the validation examples, and draw heat maps.

    Raises NothingToShowError if no trial of the study is completed, LockstepError if the data is
    not that of the study, and OSError.
    """
    study = load_study(spec, settings)
    finished = study.finished()
    if not ranked(finished, spec.search.objective):
        raise NothingToShowError(none_completed(spec, finished))
    data = data_as_launched(study, settings, console)
    with readable(settings, lambda sentence: console.say(f"note     {sentence}\n")) as places:
        tracker = load_tracker(spec, places, "lockstep compare", study.identity())
        found = Evaluation.of(spec, finished, results_of(tracker), data)
        top_5 = top_accuracies(found.with_weights[:SHOWN], found.results, data)
        urls = view_urls(tracker, settings.ui_address)
    scores, choice = found.scores, found.choice
    assert scores is not None
    assert choice is not None
    names = tuple(spec.data.features or ())
    picture = settings.figures(spec.name) / HEAT_MAPS
    drawn = _written(picture, heat_maps(found.different, spec.search.objective, names))
    of_layers = settings.figures(spec.name) / LAYERS
    if choice.layers is not None:
        _written(of_layers, layers_figure(choice.layers, names))
    unfinished = study.budget is not None and study.n_whole < study.budget
    if unfinished and exhausted(spec, finished) is None:
        console.say(f"{study.n_whole:,} of {study.budget:,} trials are finished so far\n")
    return Comparison(
        spec=spec,
        trials=ranked(finished, spec.search.objective)
        + [trial for trial in finished if trial.status is not Status.COMPLETED],
        scores=scores,
        choice=choice,
        finals=study.finals(),
        top_5=top_5,
        data=data,
        compare_url=urls.get(SIDE_VIEW),
        charts_url=urls.get(BEST_VIEW),
        heat_maps=str(picture) if drawn or picture.is_file() else None,
        layers=str(of_layers) if of_layers.is_file() else None,
        drawn=drawn,
        served=settings.served,
    )


def data_as_launched(study: SearchStudy, settings: Settings, console: Console) -> StudyData:
    """Return the data of a study. Raises LockstepError if it is not what the study was launched
    with."""
    spec = study.spec
    data = load_data(spec, settings, console.say, reading=console.reading)
    if data.digest != study.data_digest:
        raise LockstepError(
            f"study {spec.name} was launched with other data than {spec.data.origin} holds now, "
            "on which its trials cannot be scored: name the folder of the original data "
            "(--data-dir)"
        )
    if data.scale is not study.scale:
        change = scale_changed(study.scale, data.scale)
        raise LockstepError(f"study {spec.name} was started with another study file ({change})")
    return data


def _written(file: Path, content: bytes) -> bool:
    """Write a file; return False if it can only be read. Raises OSError if it cannot be written
    for another reason."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return False
    return True


ERRORS_EXPLAINED = (
    "(±: standard error over validation examples; p: Holm-corrected p value of the difference from "
    "the best)"
)


def ranking_table(
    spec: StudySpec, choice: Choice, top_5: Mapping[int, float] = NONE_KNOWN
) -> tuple[list[str], list[list[str]]]:
    """Return the best trials, and the simplest within one standard error, as headings and rows of
    text. top_5: as in `Comparison`."""
    rows = [
        [f"{rank}", *_cells(standing, spec, choice, top_5)]
        for rank, standing in enumerate(choice.standings[:SHOWN], start=1)
    ]
    if choice.one_se not in choice.standings[:SHOWN]:
        rank = choice.standings.index(choice.one_se) + 1
        rows.append([f"{rank}", *_cells(choice.one_se, spec, choice, top_5)])
    headings = [
        "", "trial", *["features"] * spec.data.several, "learning rate", "weight decay", "batch",
        *(name.replace("_", " ") for name in method_names(spec)),
        "val loss", "accuracy", *["top-5"] * bool(top_5), "best epoch", "p", "",
    ]  # fmt: skip
    return headings, rows


def summary(comparison: Comparison) -> str:
    """Return the text for people: the ranking, how certain it is, and where to look next."""
    spec, choice = comparison.spec, comparison.choice
    rest = [trial.status for trial in comparison.trials if trial.status is not Status.COMPLETED]
    unranked = [
        f"{rest.count(status):,} {word}"
        for status, word in ((Status.PRUNED, "stopped early"), (Status.DIVERGED, "diverged"))
        if status in rest
    ]
    views = [
        f"{name:12}{url}"
        for name, url in (("compare", comparison.compare_url), ("charts", comparison.charts_url))
        if url is not None
    ]
    if views and not comparison.served:
        views.append(f"(to open the links, start the MLflow UI first: lockstep ui {spec.argument})")
    return "\n".join(
        [
            table(*ranking_table(spec, choice, comparison.top_5)),
            ERRORS_EXPLAINED,
            *([f"(not ranked: {', '.join(unranked)})"] if unranked else []),
            "",
            *([] if choice.layers is None else [*layer_table(choice.layers), ""]),
            *note(spec, comparison.trials, choice, comparison.finals),
            "",
            f"heat maps   {_picture(comparison, comparison.heat_maps)}",
            *(
                []
                if choice.layers is None
                else [f"layers      {_picture(comparison, comparison.layers)}"]
            ),
            *views,
        ]
    )


def _picture(comparison: Comparison, path: str | None) -> str:
    """Return where a picture is, in words if it could not be drawn."""
    if path is None:
        return "none, because the home can only be read"
    by_launch = "" if comparison.drawn else " (as launch drew them: the home can only be read)"
    return f"{path}{by_launch}"


def _cells(
    standing: Standing, spec: StudySpec, choice: Choice, top_5: Mapping[int, float]
) -> list[str]:
    """Return a row of the table for people, without the trial's rank."""
    trial = standing.trial
    its_top_5 = top_5.get(trial.number)
    marks = [
        word
        for word, marked in (("best", choice.best), ("one-se", choice.one_se))
        if marked is standing
    ]
    return [
        f"#{trial.number}",
        *features_value(trial.hyperparameters, spec),
        f"{trial.hyperparameters.learning_rate:.3g}",
        f"{trial.hyperparameters.weight_decay:.3g}",
        f"{trial.hyperparameters.batch_size}",
        *searched_values(trial.hyperparameters, spec),
        f"{trial.val_loss:.5f} ± {standing.loss_error:.5f}",
        f"{100 * trial.val_accuracy:.2f} ± {100 * standing.accuracy_error:.2f} %",
        *(["" if its_top_5 is None else f"{100 * its_top_5:.2f} %"] if top_5 else []),
        f"{trial.best_epoch}",
        "" if standing is choice.best else f"{standing.p_value:.2g}",
        ", ".join(marks),
    ]
