"""When a guided search ends before its budget is spent: its best has not become better for long, or
there is little left to find.

It is decided between cohorts, from what is recorded, so that a study that is interrupted ends where
one that was not does.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from search.spec.study_spec import StudySpec
from search.study.widened import as_drawn_now
from search.trials.finished_trial import FinishedTrial, ranked

LEAST = 20  # the fewest completed trials for a bound on what is left to find


def trials_since_best(spec: StudySpec, trials: Sequence[FinishedTrial], grown_at: int) -> int:
    """Return how many trials there were since the best one, or since the space has grown.

    trials: all finished ones. grown_at: how many of them there were when it grew last.
    """
    best = ranked(trials, spec.search.objective)[:1]
    since = max([grown_at, *(each.number + 1 for each in best)])
    return sum(trial.number >= since for trial in trials)


def regret_bound(
    study: optuna.Study, axes: Mapping[str, BaseDistribution], seed: int
) -> float | None:
    """Return by how much the best of the space is better than the best trial at most, None if there
    are too few trials to say so.

    The bound is Optuna's, by a Gaussian process, and holds with high probability (Makarova et al.
    2022). axes: the space as it is now.
    """
    from optuna.terminator import RegretBoundEvaluator

    trials = as_drawn_now(study, axes).get_trials(deepcopy=False)
    if sum(trial.state is TrialState.COMPLETE for trial in trials) < LEAST:
        return None
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        evaluator = RegretBoundEvaluator(min_n_trials=LEAST, seed=seed)
    return float(evaluator.evaluate(trials, study.direction))


def why_stopped(
    spec: StudySpec,
    trials: Sequence[FinishedTrial],
    study: optuna.Study,
    axes: Mapping[str, BaseDistribution],
    grown_at: int,
) -> str | None:
    """Return why a search ends before its budget is spent, None if it goes on.

    See `trials_since_best` and `regret_bound`.
    """
    search = spec.search
    if search.patience is not None:
        since = trials_since_best(spec, trials, grown_at)
        if since >= search.patience:
            return (
                f"none of the last {since:,} trials was better than the best (search.patience = "
                f"{search.patience:,}): raise it, and the same command continues"
            )
    if search.regret is not None and len(trials) > grown_at:
        bound = regret_bound(study, axes, search.seed)
        if bound is not None and bound <= search.regret:
            return (
                f"the best is within {bound:.2g} of what this space can reach, by Optuna's bound "
                f"(search.regret = {search.regret:g}): lower it, and the same command continues"
            )
    return None
