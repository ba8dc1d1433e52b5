"""The figures of a study's parent run: which there are, and what each is drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.datasets.dataset import Splits
from core.statistics.expected_best import draws_needed, expected_best
from core.trainer.result import Status
from search.figures import budget as budget_figures
from search.figures import curves as figures
from search.figures import templates as images
from search.figures.budget import Course
from search.figures.heat_maps import heat_maps
from search.findings.importances import importances, scored
from search.spec.study_spec import StudySpec
from search.study.search_study import SearchStudy
from search.tracking.results import MissingResultError, read_result
from search.tracking.tracker import Artifact, Tracker
from search.trials.finished_trial import FinishedTrial, ranked

CURVES = 10  # trials whose curves are told apart
SHEET = 24  # trials on the contact sheet
COURSES = 300  # trials that were stopped early in the picture of pruning, evenly by rank
ENOUGH = 20  # trials that many a search by hand has
NEAR_LOSS, NEAR_ACCURACY = 0.05, 0.001  # of the best: relative; absolute
_DRAWN = {
    "random": "drawn at random, as these were",
    "grid": "drawn at random from this grid",
}
_RESAMPLED = "resampled from these, which were not drawn independently"


def study_figures(
    study: SearchStudy, ranking: Sequence[FinishedTrial], tracker: Tracker, data: Splits
) -> Iterator[Artifact]:
    """PNG files; ranking: the completed trials that have their weights, best first."""
    spec, trials = study.spec, study.finished()
    objective = spec.search.objective
    yield Artifact("heat_maps.png", heat_maps(trials, objective))
    yield Artifact("optimisation_history.png", figures.optimisation_history(trials, objective))
    first = None if spec.search.pruner == "none" else spec.search.rungs(spec.model.epochs)[0]
    known = scored(study.optuna_trials(), first)
    if shares := importances(known, objective.is_loss, spec.search.seed):
        epochs = spec.model.epochs if first is None else first
        figure = budget_figures.importances_figure(shares, objective, len(known), epochs)
        yield Artifact("importances.png", figure)
    budget = expected(spec, trials)
    if budget is not None:
        yield Artifact("expected_best.png", budget.figure(spec, trials))
    if spec.search.pruner != "none":
        yield Artifact("pruning.png", _pruning(spec, trials, ranking, tracker))
    if ranking:
        # Whose weights are lost has no curves either: it may be the best.
        best = ranked(trials, objective)[0].number
        curves = {
            f"#{trial.number}": read_result(tracker, trial.run_id)[1] for trial in ranking[:CURVES]
        }
        yield Artifact("learning_curves.png", figures.learning_curves(curves, best=f"#{best}"))
        yield Artifact("weights_worst_to_best.png", _contact_sheet(spec, ranking, tracker, data))


@dataclass(frozen=True, slots=True)
class Expected:
    """Whether fewer trials would have done. scores: (N,) losses or error rates. needed: trials
    whose best is expected to be near that of all."""

    scores: np.ndarray[tuple[int], np.dtype[np.float64]]
    needed: int | None
    near: str

    def figure(self, spec: StudySpec, trials: Sequence[FinishedTrial]) -> bytes:
        return budget_figures.expected_best_figure(
            self.scores,
            spec.search.objective,
            epochs_per_trial=spec.search.replicates
            * sum(trial.stopped_epoch for trial in trials)
            / len(trials),
            resampled=_DRAWN.get(spec.search.sampler, _RESAMPLED)
            if spec.search.pruner == "none"
            else _RESAMPLED,
            needed=self.needed,
            near=self.near,
        )

    def sentence(self, spec: StudySpec) -> str | None:
        """For samplers whose trials are, or could have been, drawn independently."""
        search = spec.search
        if search.sampler not in _DRAWN or search.pruner != "none" or len(self.scores) <= ENOUGH:
            return None
        few = float(expected_best(self.scores, [ENOUGH]).mean[0])
        best = float(self.scores.min())
        told = f"{search.objective.text(few)} (best {search.objective.digits(best)})"
        more = "" if self.needed is None else f"; {self.needed:,} come {self.near}"
        where = "this grid" if search.sampler == "grid" else "this space"
        return f"budget   {ENOUGH} random trials of {where} would be expected to reach {told}{more}"


def expected(spec: StudySpec, trials: Sequence[FinishedTrial]) -> Expected | None:
    """None unless at least two trials have a finite score. A diverged trial counts as the worst."""
    objective = spec.search.objective
    scores = np.array([trial.badness(objective) for trial in trials])
    finite = np.isfinite(scores)
    if finite.sum() < 2:
        return None
    scores = np.where(finite, scores, scores[finite].max())
    best = float(scores.min())
    target = best * (1 + NEAR_LOSS) if objective.is_loss else best + NEAR_ACCURACY
    near = (
        f"within {100 * NEAR_LOSS:g} % of it"
        if objective.is_loss
        else f"within {100 * NEAR_ACCURACY:g} percentage points of it"
    )
    return Expected(scores, draws_needed(scores, target), near)


def _pruning(
    spec: StudySpec,
    trials: Sequence[FinishedTrial],
    ranking: Sequence[FinishedTrial],
    tracker: Tracker,
) -> bytes:
    rest = sorted(
        (trial for trial in trials if trial.status is not Status.COMPLETED),
        key=lambda trial: (-trial.stopped_epoch, trial.val_loss, trial.number),
    )
    if len(rest) > COURSES:
        places = np.unique(np.linspace(0, len(rest) - 1, COURSES).round().astype(int))
        rest = [rest[place] for place in places]
    best = ranked(trials, spec.search.objective)
    courses = []
    for trial in [*ranking[:COURSES], *rest]:
        try:
            curves = read_result(tracker, trial.run_id)[1]
        except MissingResultError:
            continue
        values = getattr(curves, spec.search.objective.value)
        is_best = trial.number == best[0].number if best else False
        known = np.isfinite(curves.val_loss)  # an accuracy beside a lost loss means nothing
        courses.append(Course(values[known], trial.status, is_best))
    rungs = spec.search.rungs(spec.model.epochs)
    reached = [sum(trial.stopped_epoch >= rung for trial in trials) for rung in rungs]
    drawn = [course for course in courses if len(course.values)]
    counts = Counter(trial.status for trial in trials)
    return budget_figures.pruning_figure(drawn, rungs, reached, counts, spec.search.objective)


def _contact_sheet(
    spec: StudySpec, ranking: Sequence[FinishedTrial], tracker: Tracker, data: Splits
) -> bytes:
    """Weight images, evenly spaced in rank, from the worst completed trial to the best."""
    objective = spec.search.objective
    count = min(SHEET, len(ranking))
    places = np.unique(np.linspace(len(ranking) - 1, 0, count).round().astype(int))[::-1]
    sheet = [
        (
            read_result(tracker, ranking[place].run_id)[0],
            f"#{ranking[place].number}: {objective.caption(ranking[place].badness(objective))}",
        )
        for place in places
    ]
    return images.contact_sheet(sheet, data.train.class_names, data.train.image_shape)
