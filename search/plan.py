"""Which trials are trained together, and in which order.

A *cohort* is the set of trials that are decided on together, before any of their results is known:
the whole grid, or as many trials as a sampler is asked for at once. Each cohort is cut into stacks
of one batch size. The cut depends on the cohort alone, not on the number of workers or on what is
already finished, so a study that is continued trains the same tiles and gets the same numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from core.result import Hyperparameters
from core.stack import tile_trials

MIN_STACKS = 4  # so that a few workers all have something to do
MIN_STACK_TRIALS = 32  # below this a stack gains too little from being one
MIN_SURVIVORS = 8  # the same at later rungs, where most workers would have nothing to do
MAX_STACK_TRIALS = 256  # beyond this it gains nothing more, and progress comes in lumps


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial of the study: its Optuna number and what it tries."""

    number: int
    hyperparameters: Hyperparameters


@dataclass(frozen=True, slots=True)
class StackTask:
    """A unit of work for an executor: trials of one batch size, and trials per tile."""

    trials: tuple[PlannedTrial, ...]
    tile: int


def stacks(
    cohort: Iterable[PlannedTrial], n_classes: int, least: int = MIN_STACK_TRIALS
) -> list[StackTask]:
    """Cut a cohort into stacks, the costliest first: small batches take more steps an epoch.

    least: trials, below which a stack is not divided to give more workers something to do.
    """
    by_size: dict[int, list[PlannedTrial]] = defaultdict(list)
    for trial in cohort:
        by_size[trial.hyperparameters.batch_size].append(trial)
    tasks = []
    for _, trials in sorted(by_size.items()):
        for_balance = min(-(-MIN_STACKS // len(by_size)), len(trials) // least)
        n_stacks = max(for_balance, -(-len(trials) // MAX_STACK_TRIALS))
        size = -(-len(trials) // n_stacks)
        tile = tile_trials(size, n_classes)
        tasks += [
            StackTask(tuple(trials[start : start + size]), tile)
            for start in range(0, len(trials), size)
        ]
    return tasks


def unfinished(tasks: Iterable[StackTask], finished: Collection[int]) -> list[StackTask]:
    """The tasks without the trials whose numbers are finished, empty ones left out."""
    kept = (
        replace(task, trials=tuple(each for each in task.trials if each.number not in finished))
        for task in tasks
    )
    return [task for task in kept if task.trials]
