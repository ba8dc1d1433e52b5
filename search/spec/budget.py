"""The budget of a search: how many trials a cohort may have, and how many epochs it takes."""

from __future__ import annotations

import bisect

from core.trainer.pruning import bracket_sizes, planned_epochs
from search.spec.search_spec import SearchSpec


def cohort_epochs(n: int, search: SearchSpec, epochs: int) -> int:
    """Return the total number of epochs that a cohort of n trials trains if none diverges.

    epochs: those of a trial that is trained to the end.
    """
    rungs = search.rung_epochs(epochs)
    hyperband = search.pruner == "hyperband"
    sizes = bracket_sizes(n, len(rungs), search.reduction_factor) if hyperband else [n]
    return search.replicates * planned_epochs(
        sizes, range(len(sizes)), rungs, search.reduction_factor
    )


def total_epochs(trials: int, search: SearchSpec, epochs: int) -> int:
    """Return the total number of epochs that all cohorts of a study train if no trial diverges.

    trials: the number of trials of the study. epochs: those of a trial that is trained to the end.
    """
    if search.sampler == "grid":
        return cohort_epochs(trials, search, epochs)
    whole, rest = divmod(trials, search.cohort)
    of_whole = whole * cohort_epochs(search.cohort, search, epochs)
    return of_whole + cohort_epochs(rest, search, epochs)


def next_size(search: SearchSpec, epochs: int, asked: int, spent: int, minutes: float) -> int:
    """Return the number of trials of the next cohort; 0 if the budget is used up.

    epochs: those of a trial that is trained to the end. asked: the number of trials so far. spent:
    the epochs that these trained. minutes: the time that they took.
    """
    size = search.cohort
    if search.trials is not None:
        size = min(size, search.trials - asked)
    if search.minutes is not None and minutes >= search.minutes:
        size = 0
    if search.epochs is not None and size > 0:
        # This finds the largest cohort within the budget, since cohort_epochs grows with n.
        left = search.epochs - spent
        costs = range(1, size + 1)
        size = bisect.bisect_right(costs, left, key=lambda n: cohort_epochs(n, search, epochs))
    return max(size, 0)


def expected_trials(search: SearchSpec, epochs: int) -> int | None:
    """Return the number of trials of the whole budget if none diverges.

    It is None if only time limits the trials. epochs: those of a trial that is trained to the end.
    """
    if search.trials is None and search.epochs is None:
        return None
    if search.epochs is None:
        return search.trials
    cost = cohort_epochs(search.cohort, search, epochs)
    cohorts = search.epochs // cost
    asked = cohorts * search.cohort
    if search.trials is not None and asked >= search.trials:
        return search.trials
    return asked + next_size(search, epochs, asked, cohorts * cost, 0.0)
