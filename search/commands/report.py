"""Report what a study found: the description and the figures of its parent run in MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from core.datasets.study_data import StudyData
from core.trainer.result import Status
from search.commands.kept_weights import KeptWeights
from search.commands.session import results_of
from search.commands.study_data import described, scaling_in_words
from search.commands.study_figures import study_figures
from search.figures.picture_choice import weight_pictures
from search.findings.choice import Choice
from search.findings.evaluation import Evaluation
from search.findings.sentences import note
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.spec.toml_writer import toml
from search.spec.understood import understood
from search.study.search_study import SearchStudy
from search.tracking.links import BEST_VIEW, SEARCH_VIEW, SIDE_VIEW, run_url, table_url
from search.tracking.names import REPORT_TAG
from search.tracking.results import present
from search.tracking.tracker import Artifact, Tracker
from search.tracking.view_format import COMPARED
from search.tracking.views import log_weight_images, share_views, view_urls
from search.trials.finished_trial import FinishedTrial
from search.wording import counted

BEST = 10  # the most trials whose weight images are shown together in the UI
STUDY_FILE = "study.toml"  # the study file as it is understood, among these artifacts
FIGURES = "figures"  # the folder of the figures among the artifacts of the parent run


def write_report(
    study: SearchStudy, tracker: Tracker, data: StudyData, settings: Settings
) -> Choice | None:
    """Write the report of a study; return the choice of the best trial, None if none is completed.

    Figures go into the home folder and to the parent run, which also gets a description; the best
    runs get weight images; the views of the MLflow UI are saved. What was written of the same
    trials before is not written again.
    """
    spec = study.spec
    trials = study.finished()
    found = Evaluation.of(spec, trials, results_of(tracker), data)
    metrics = {"trials": float(len(trials))}
    for first in found.ranking[:1]:
        metrics |= {"best_val_loss": first.val_loss, "best_val_accuracy": first.val_accuracy}
    told = note(spec, trials, found.choice, study.finals())
    if kept := KeptWeights(spec, data).described():
        told.append(f"weights  {kept}")
    best = present(tracker, found.with_weights, BEST)
    of = (version("lockstep"), spec, trials, sorted(found.lost), best, told, study.finals())
    digest = hashlib.sha256(repr(of).encode()).hexdigest()
    folder = settings.figures(spec.name)
    if _is_written(tracker, digest, folder):
        tracker.end_run(tracker.parent_run_id, "FINISHED")
        return found.choice
    files = list(study_figures(found))
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.path).write_bytes(file.content)
    _show_best(found, tracker, best)
    tracker.log_study_data(data)
    figures = [Artifact(f"{FIGURES}/{file.path}", file.content) for file in files]
    # The run's parameters are those with which the study began; it may have grown since then.
    as_it_is = Artifact(STUDY_FILE, toml(understood(spec)).encode())
    tracker.finish(_markdown(found, told, tracker), [*figures, as_it_is], metrics, digest)
    return found.choice


def _is_written(tracker: Tracker, digest: str, folder: Path) -> bool:
    """Return whether the study's run has the report with this digest, and a folder the figures."""
    if tracker.client.get_run(tracker.parent_run_id).data.tags.get(REPORT_TAG) != digest:
        return False
    drawn = tracker.client.list_artifacts(tracker.parent_run_id, FIGURES)
    return bool(drawn) and all((folder / Path(each.path).name).is_file() for each in drawn)


def _show_best(found: Evaluation, tracker: Tracker, best: Sequence[FinishedTrial]) -> None:
    """Give the best runs weight images, and save the views of the UI that show them."""
    if not best:
        return
    read = [result.weights for result in found.results.of(best) if result is not None]
    weights = [each for each in read if each is not None]
    pictures = {
        name: weight_pictures(found.data.of(name).train)
        for name in {trial.hyperparameters.features for trial in best}
    }
    log_weight_images(tracker, best, pictures, weights)
    its = pictures[best[0].hyperparameters.features]
    share_views(tracker, [trial.run_id for trial in best], len(found.ranking), its)


def _guided(spec: StudySpec) -> str:
    """Return the names of the sampler and of the pruner, if there is one."""
    pruner = spec.search.pruner
    return spec.search.sampler if pruner == "none" else f"{spec.search.sampler} and {pruner}"


def _markdown(found: Evaluation, told: Sequence[str], tracker: Tracker) -> str:
    """Return the parent run's description in Markdown, with links to the views of the study.

    The links are relative, so that they work on any port that the UI is served on.

    told: the sentences on what was found, as a launch prints them.
    """
    spec, trials, data = found.spec, found.finished, found.data
    # MLflow folds a description after about five lines, so the best trial comes first.
    lines = [f"**{spec.description or spec.name}**", ""]
    searched = (
        f"search   {len(trials):,} trials ({_guided(spec)}) of "
        f"{counted(spec.model.epochs, 'epoch')}; chosen by {spec.search.objective} on the "
        "validation split"
    )
    about = (f"data     {described(spec, data)}", f"scaling  {scaling_in_words(spec, data)}")
    for line in (*told, searched, *about):
        label, _, text = line.partition(" ")
        lines.append(f"- **{label}** {text.strip()}")
    for status, what in (
        (Status.PRUNED, "were stopped early (runs marked killed)"),
        (Status.DIVERGED, "diverged (runs marked failed)"),
    ):
        count = sum(trial.status is status for trial in trials)
        if count:
            lines.append(f"- **note** {count:,} trials {what}; they are not ranked")
    experiment = (".", tracker.experiment_id)
    urls = view_urls(tracker, ".")
    names = {
        BEST_VIEW: "Best trials: weights and curves",
        SEARCH_VIEW: "Parallel coordinates",
        SIDE_VIEW: f"Best {COMPARED} side by side",
    }
    views = [
        *(f"[{name}]({urls[key]})" for key, name in names.items() if key in urls),
        f"[Table of all trials]({table_url(*experiment)})",
        f"[The figures]({run_url(*experiment, tracker.parent_run_id, FIGURES)})",
    ]
    return "\n".join([*lines, "", " · ".join(views)])
