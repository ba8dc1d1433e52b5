"""The division of a cohort into stacks: which trials are trained together, and in which order.

A *cohort* is the set of trials that are chosen together, before any of their results is known: the
whole grid, or as many trials as a sampler is asked for at once. A *stack* is a group of trials of
one cohort that are trained together: they share the batch size, and momentum, schedule, warm-up and
bias where these are searched. The division depends on the cohort alone, not on the number of
workers or on finished trials, so a study that is continued trains the same stacks and gets the same
numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from search.trials.trial import PlannedTrial

MIN_STACKS = 4  # With so many stacks, a few workers all have something to do.
MANY_STACKS = 64  # likewise, where each trial is so much work that many workers are worth it
MIN_STACK_TRIALS = 32  # With fewer trials, a stack is hardly faster than separate trials.
MIN_SURVIVORS = 8  # the same at later rungs, which have so few trials that workers would be idle
MAX_STACK_TRIALS = 256  # More trials would not be faster, and progress would be reported rarely.
MAX_STACK_BYTES = 1 << 28  # of a stack's weights; several stacks are in memory at the same time
MANY_CLASSES = 64  # With so many, a few trials make products that are large enough.


def least_trials(least: int, n_classes: int) -> int:
    """Return how many trials make a stack worth its while. least: if there are few classes."""
    return least if n_classes < MANY_CLASSES else max(1, least * MANY_CLASSES // n_classes)


def wanted_stacks(n_classes: int) -> int:
    """Return into how many stacks a cohort is cut, if it has trials enough."""
    return MIN_STACKS if n_classes < MANY_CLASSES else MANY_STACKS


def most_trials(n_features: int, n_classes: int) -> int:
    """Return the most trials of a stack, so that its weights fit into memory."""
    return max(1, min(MAX_STACK_TRIALS, MAX_STACK_BYTES // (4 * n_features * n_classes)))


def stacks(
    cohort: Iterable[PlannedTrial],
    least: int = MIN_STACK_TRIALS,
    most: Callable[[str], int] = lambda features: MAX_STACK_TRIALS,
    wanted: int = MIN_STACKS,
) -> list[tuple[PlannedTrial, ...]]:
    """Cut a cohort into stacks, the slowest first: small batches need more steps per epoch.

    Sets of features stay together, in the order in which the cohort has them. So the stacks of a
    grid have its trials in the order of their numbers, in which they must be recorded.

    least: a stack of fewer than twice as many trials is not divided to keep more workers busy.
    most: returns the most trials of a stack that is trained on these features.
    wanted: the number of stacks that keep the workers busy.
    """
    alike: dict[Any, list[PlannedTrial]] = defaultdict(list)
    features: dict[str, int] = {}
    for trial in cohort:
        features.setdefault(trial.hyperparameters.features, trial.number)
        alike[trial.hyperparameters.shared].append(trial)
    cut = []
    for trials in sorted(alike.values(), key=lambda each: _place(each[0], features)):
        for_balance = min(-(-wanted // len(alike)), len(trials) // least)
        n_stacks = max(for_balance, -(-len(trials) // most(trials[0].hyperparameters.features)))
        size = -(-len(trials) // n_stacks)
        cut += [tuple(trials[start : start + size]) for start in range(0, len(trials), size)]
    return cut


def _place(first: PlannedTrial, features: Mapping[str, int]) -> tuple[int, int, int]:
    """Return the place of a group of trials that are alike.

    first: the first of them. features: the number of the first trial of each set of features.
    """
    tried = first.hyperparameters
    return features[tried.features], tried.batch_size, first.number
