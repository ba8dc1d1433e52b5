"""What a study found, in words and pictures: the note and the figures of its parent run."""

from __future__ import annotations

from collections.abc import Sequence

from core.data import Splits
from core.result import Status
from search import images
from search.choice import Choice, choose, sentences
from search.finalists import Finals
from search.finished_trial import FinishedTrial, ranked
from search.links import BEST_VIEW, SEARCH_VIEW, SIDE_VIEW, run_url, table_url
from search.scores import validation_scores
from search.settings import Settings
from search.shared_view import COMPARED
from search.spec import Range, StudySpec
from search.study import SearchStudy
from search.study_data import described
from search.study_figures import expected, study_figures
from search.tracking import Artifact, Tracker
from search.tracking_results import present, read_result
from search.tracking_views import log_weight_images, share_views, view_urls

BEST = 10  # trials whose weight images are shown together
FIGURES = "figures"  # their folder among the parent run's artifacts
_LEAST = {"weight_decay": 0.0, "batch_size": 1}  # no value lies below


def note(
    spec: StudySpec,
    trials: Sequence[FinishedTrial],
    choice: Choice | None = None,
    finals: Finals | None = None,
) -> list[str]:
    """What won, how sure that is, and what to be wary of; lines of plain text."""
    ranking = ranked(list(trials), spec.search.objective)
    if not ranking:
        return ["No trial was completed: every one diverged. Smaller learning rates would help."]
    best = ranking[0]
    tried = best.hyperparameters
    lines = [
        f"best     #{best.number}: learning rate {tried.learning_rate:.4g}, weight decay "
        f"{tried.weight_decay:.4g}, batch {tried.batch_size}: validation loss "
        f"{best.val_loss:.5f}{_plus_minus(best)}, accuracy {100 * best.val_accuracy:.2f} %"
    ]
    if finals is not None:
        lines.append(_winner(finals, trials))
    edges = _edges(spec, best)
    lines += [] if choice is None else sentences(choice)
    budget = expected(spec, trials)
    if budget is not None and (sentence := budget.sentence(spec)):
        lines.append(sentence)
    if edges:
        lines.append(f"note     it lies on the edge of the search: {', '.join(edges)}")
    return lines


def _plus_minus(trial: FinishedTrial) -> str:
    return "" if trial.spread is None else f" ± {trial.spread.val_loss_std:.5f} (over seeds)"


def _winner(finals: Finals, trials: Sequence[FinishedTrial]) -> str:
    first = finals.winner
    (tried,) = [each.hyperparameters for each in trials if each.number == first.trial]
    return (
        f"winner   #{first.trial}: learning rate {tried.learning_rate:.4g}, weight decay "
        f"{tried.weight_decay:.4g}, batch {tried.batch_size}: validation loss "
        f"{first.val_loss:.5f} ± {first.val_loss_std:.5f}, accuracy "
        f"{100 * first.val_accuracy:.2f} ± {100 * first.val_accuracy_std:.2f} %, the best of "
        f"{len(finals.finalists)} finalists on {len(finals.seeds)} fresh seeds"
    )


def _edges(spec: StudySpec, best: FinishedTrial) -> list[str]:
    """Where the best trial takes an axis's first or last value, and what to try."""
    edges = []
    for name in ("learning_rate", "weight_decay", "batch_size"):
        axis = getattr(spec.space, name)
        ends = (axis.low, axis.high) if isinstance(axis, Range) else (min(axis), max(axis))
        value = getattr(best.hyperparameters, name)
        if ends[0] == ends[1] or value not in ends or value == _LEAST.get(name):
            continue  # nothing was searched, or nothing lies beyond
        way = "smaller" if value == ends[0] else "larger"
        shown = f"{value:.4g}" if isinstance(value, float) else f"{value}"
        edges.append(f"{name.replace('_', ' ')} {shown} (try {way})")
    return edges


def write_report(
    study: SearchStudy, tracker: Tracker, data: Splits, settings: Settings
) -> Choice | None:
    """Figures into the home and onto the parent run, weight images onto the best runs, presets of
    the UI's views, and the parent run's description. What may be said of the best trial, if any."""
    spec = study.spec
    trials = study.finished()
    ranking = ranked(trials, spec.search.objective)
    scores = validation_scores(ranking, tracker, data.validation) if ranking else None
    choice = None if scores is None else choose(scores, spec.search.objective, spec.search.seed)
    files = list(study_figures(study, scores.trials if scores else [], tracker, data))
    folder = settings.figures(spec.name)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.path).write_bytes(file.content)
    best = present(tracker, scores.trials, BEST) if scores else []
    runs = [trial.run_id for trial in best]
    if best:
        scale = max(images.largest_weight(read_result(tracker, run)[0]) for run in runs)
        for place, trial in enumerate(best):
            log_weight_images(tracker, trial, data, scale, place + 1)
        share_views(tracker, runs, len(ranking), data.train.class_names, spec.search.objective)
    metrics = {"trials": float(len(trials))}
    if ranking:
        first = ranking[0]
        metrics |= {"best_val_loss": first.val_loss, "best_val_accuracy": first.val_accuracy}
    found = note(spec, trials, choice, study.finals())
    text = _markdown(spec, trials, found, tracker, data)
    tracker.log_study_data(spec, data)
    tracker.finish(
        text, [Artifact(f"{FIGURES}/{file.path}", file.content) for file in files], metrics
    )
    return choice


def _guided(spec: StudySpec) -> str:
    """The sampler, and what stops trials early."""
    pruner = spec.search.pruner
    return spec.search.sampler if pruner == "none" else f"{spec.search.sampler} and {pruner}"


def _markdown(
    spec: StudySpec,
    trials: Sequence[FinishedTrial],
    found: Sequence[str],
    tracker: Tracker,
    data: Splits,
) -> str:
    """The parent run's description, with links to the study's views; its parameters hold the file.

    Addresses are relative, so that they hold on whatever port the UI is served.
    """
    # MLflow folds a description after some five lines: what won is to be among them.
    lines = [f"**{spec.description or spec.name}**", ""]
    searched = (
        f"search   {len(trials):,} trials ({_guided(spec)}) of {spec.model.epochs} epochs; chosen "
        f"by {spec.search.objective} on the validation split"
    )
    for line in (*found, searched, f"data     {described(spec, data)}"):
        label, _, text = line.partition(" ")
        lines.append(f"- **{label}** {text.strip()}")
    for status, what in (
        (Status.PRUNED, "were stopped early (runs marked killed)"),
        (Status.DIVERGED, "diverged (runs marked failed)"),
    ):
        count = sum(trial.status is status for trial in trials)
        if count:
            lines.append(f"- **note** {count:,} trials {what}; they are not ranked")
    place = (".", tracker.experiment_id)
    urls = view_urls(tracker, place[0])
    names = {
        BEST_VIEW: "Best trials: weights and curves",
        SEARCH_VIEW: "Parallel coordinates",
        SIDE_VIEW: f"Best {COMPARED} side by side",
    }
    views = [
        *(f"[{name}]({urls[key]})" for key, name in names.items() if key in urls),
        f"[Table of all trials]({table_url(*place)})",
        f"[The figures]({run_url(*place, tracker.parent_run_id, FIGURES)})",
    ]
    return "\n".join([*lines, "", " · ".join(views)])
