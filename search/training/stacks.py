"""Which trials are trained together, and in which order.

A *cohort* is the set of trials that are decided on together, before any of their results is known:
the whole grid, or as many trials as a sampler is asked for at once. Each cohort is cut into stacks
of one batch size. The cut depends on the cohort alone, not on the number of workers or on what is
already finished: a study that is continued trains the same stacks and gets the same numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from search.trials.trial import PlannedTrial

MIN_STACKS = 4  # so that a few workers all have something to do
MIN_STACK_TRIALS = 32  # below this a stack gains too little from being one
MIN_SURVIVORS = 8  # the same at later rungs, where most workers would have nothing to do
MAX_STACK_TRIALS = 256  # beyond this it gains nothing more, and progress comes in lumps


def stacks(
    cohort: Iterable[PlannedTrial], least: int = MIN_STACK_TRIALS
) -> list[tuple[PlannedTrial, ...]]:
    """Cut a cohort into stacks, the costliest first: small batches take more steps an epoch.

    least: a stack of fewer trials than twice this is not divided to keep more workers busy.
    """
    by_size: dict[int, list[PlannedTrial]] = defaultdict(list)
    for trial in cohort:
        by_size[trial.hyperparameters.batch_size].append(trial)
    cut = []
    for _, trials in sorted(by_size.items()):
        for_balance = min(-(-MIN_STACKS // len(by_size)), len(trials) // least)
        n_stacks = max(for_balance, -(-len(trials) // MAX_STACK_TRIALS))
        size = -(-len(trials) // n_stacks)
        cut += [tuple(trials[start : start + size]) for start in range(0, len(trials), size)]
    return cut
