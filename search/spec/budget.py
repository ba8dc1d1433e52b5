"""How many trials may still be asked for: never more than what remains of the budget."""

from __future__ import annotations

import bisect

from core.trainer.pruning import bracket_sizes, planned_epochs
from search.spec.search_spec import SearchSpec


def cohort_epochs(n: int, search: SearchSpec, epochs: int) -> int:
    """Epochs that a cohort of n trials trains in all, if none diverges. epochs: of a full trial."""
    levels = search.rungs(epochs)
    hyperband = search.pruner == "hyperband"
    sizes = bracket_sizes(n, len(levels), search.eta) if hyperband else [n]
    return search.replicates * planned_epochs(sizes, range(len(sizes)), levels, search.eta)


def next_size(search: SearchSpec, epochs: int, asked: int, spent: int, minutes: float) -> int:
    """Trials of the next cohort, 0 at the end.

    asked: trials so far; spent: epochs that they trained; minutes: that they took.
    """
    size = search.cohort
    if search.trials is not None:
        size = min(size, search.trials - asked)
    if search.minutes is not None and minutes >= search.minutes:
        size = 0
    if search.epochs is not None and size > 0:
        # The largest cohort that cannot overdraw: cohort_epochs grows with n.
        left = search.epochs - spent
        costs = range(1, size + 1)
        size = bisect.bisect_right(costs, left, key=lambda n: cohort_epochs(n, search, epochs))
    return max(size, 0)


def expected_trials(search: SearchSpec, epochs: int) -> int | None:
    """Trials of the whole budget if none diverges; None where only time bounds them."""
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
