"""Draw the figures of a study's parent run from its trials and their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from core.trainer.result import Status
from search.figures.curves import learning_curves
from search.figures.expected import expected_best_figure
from search.figures.heat_maps import heat_maps
from search.figures.history import optimisation_history
from search.figures.importances import importances_figure
from search.figures.layers import layers_figure
from search.figures.picture_choice import weight_pictures
from search.figures.pruning import Course, pruning_figure
from search.findings.evaluation import Evaluation
from search.findings.expected import expected_search
from search.findings.importances import importances
from search.spec.configuration import features_value
from search.spec.study_spec import StudySpec
from search.tracking.tracker import Artifact
from search.trials.finished_trial import FinishedTrial, ranked

LAYERS = "layers.png"
CURVES = 10  # the most trials whose curves can be told apart by colour
SHEET = 24  # the most trials in the picture of weights from worst to best
COURSES = 300  # the most completed trials in the picture of pruning, and the most others


def study_figures(found: Evaluation) -> Iterator[Artifact]:
    """Yield the figures of a study, as PNG files."""
    spec, trials = found.spec, found.different
    objective, names = spec.search.objective, tuple(spec.data.features or ())
    yield Artifact("heat_maps.png", heat_maps(trials, objective, names))
    if found.layers is not None:
        yield Artifact(LAYERS, layers_figure(found.layers, names))
    yield Artifact("optimisation_history.png", optimisation_history(trials, objective))
    if shared := importances(spec, trials):
        figure = importances_figure(shared.shares, objective, shared.trials, shared.epoch)
        yield Artifact("importances.png", figure)
    if (expected := expected_search(spec, trials)) is not None:
        figure = expected_best_figure(expected, objective)
        yield Artifact("expected_best.png", figure)
    if spec.search.pruner != "none":
        yield Artifact("pruning.png", _pruning(found))
    if found.with_curves:
        yield Artifact("learning_curves.png", _learning_curves(found))
    if found.with_weights:
        yield Artifact("weights_worst_to_best.png", _contact_sheet(found))


def _learning_curves(found: Evaluation) -> bytes:
    """Draw the learning curves of the best trials."""
    shown = found.with_curves[:CURVES]
    drawn = {
        _label(trial, found.spec): result.curves
        for trial, result in zip(shown, found.results.of(shown), strict=True)
        if result is not None
    }
    # If the best trial has lost its curves, none is marked as the best.
    return learning_curves(drawn, best=_label(found.ranking[0], found.spec))


def _label(trial: FinishedTrial, spec: StudySpec) -> str:
    """Return what a trial is called in a legend: its number, and its features if there are several
    sets."""
    return " ".join([f"#{trial.number}", *features_value(trial.hyperparameters, spec)])


def _pruning(found: Evaluation) -> bytes:
    """Draw the courses of the best completed trials, and of others evenly spaced in rank."""
    spec, trials = found.spec, found.different
    rest = sorted(
        (trial for trial in trials if trial.status is not Status.COMPLETED),
        key=lambda trial: (-trial.stopped_epoch, trial.val_loss, trial.number),
    )
    if len(rest) > COURSES:
        chosen = np.unique(np.linspace(0, len(rest) - 1, COURSES).round().astype(int))
        rest = [rest[index] for index in chosen]
    best = ranked(trials, spec.search.objective)[:1]
    shown = [*found.with_curves[:COURSES], *rest]
    courses = []
    for trial, result in zip(shown, found.results.of(shown), strict=True):
        if result is not None:
            values = getattr(result.curves, spec.search.objective.value)
            known = np.isfinite(result.curves.val_loss)  # without a loss, accuracy is void
            courses.append(Course(values[known], trial.status, trial in best))
    rung_epochs = spec.search.rung_epochs(spec.model.epochs)
    reached = [sum(trial.stopped_epoch >= epoch for trial in trials) for epoch in rung_epochs]
    drawn = [course for course in courses if len(course.values)]
    counts = Counter(trial.status for trial in trials)
    return pruning_figure(drawn, rung_epochs, reached, counts, spec.search.objective)


def _contact_sheet(found: Evaluation) -> bytes:
    """Draw weight images from the worst trial to the best, evenly spaced in rank.

    Weights of different features do not compare, so all are of those of the best trial.
    """
    ranking, completed = found.with_weights, len(found.with_curves)
    objective, features = found.spec.search.objective, ranking[0].hyperparameters.features
    kept = f"The weights of the best {len(ranking):,} of {completed:,} trials are kept."
    notes = [kept] if len(ranking) < completed else []
    ranking = [each for each in ranking if each.hyperparameters.features == features]
    count = min(SHEET, len(ranking))
    ranks = np.unique(np.linspace(len(ranking) - 1, 0, count).round().astype(int))[::-1]
    shown = [ranking[rank] for rank in ranks]
    sheet = [
        (result.weights, f"#{trial.number}: {objective.caption(trial.badness(objective))}")
        for trial, result in zip(shown, found.results.of(shown), strict=True)
        if result is not None and result.weights is not None
    ]
    return weight_pictures(found.data.of(features).train).sheet(sheet, notes)
