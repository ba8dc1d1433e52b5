"""Where stacks are trained: what every executor takes, gives and promises.

An executor carries core types only, and jobs are stateless: the same stack gives the same outcome,
so a job that was lost is simply run again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData

MAX_RESTARTS = 3  # of workers at the same job
POLL_SECONDS = 0.2  # between two looks at a job that is not done


class Watch(Protocol):
    """Whoever follows the training, and may want it to stop."""

    def trained(self, epochs: int) -> None:
        """Hear of epochs that were trained since the last call, summed over trials."""

    def repeated(self, epochs: int) -> None:
        """Hear of epochs that were trained before, and are to be trained again."""

    def stopping(self) -> bool:
        """Return whether the training shall stop."""


@dataclass(frozen=True, slots=True)
class StackJob:
    """A stack, and the epochs that it is to be trained further; the data is with the executor."""

    stack: Stack
    epochs: int


class Executor(Protocol):
    """Trains stacks somewhere. training_seconds: of the last run, to its last finished job."""

    training_seconds: float

    def run(self, jobs: Sequence[StackJob], watch: Watch) -> Iterator[Stack]:
        """Train the jobs; yield their stacks in the order of ``jobs``. Training starts at once.

        The watch is told of the progress a few times a second. Once it asks to stop, no further
        stack is yielded.
        """


def run_job(
    data: TrainingData, job: StackJob, on_epoch: Callable[[int], object] = lambda trained: None
) -> Stack:
    """Return the stack after the job, whose own stays as it is. on_epoch: see `Stack.advance`."""
    stack = copy.deepcopy(job.stack)
    stack.advance(data, job.epochs, on_epoch)
    return stack


class Progress:
    """Tells a watch of the epochs that were trained since it was last told.

    counts: trained epochs by job, kept up to date by others.
    """

    def __init__(self, counts: Any, watch: Watch) -> None:
        self._counts = counts
        self._watch = watch
        self._told = 0

    def tell(self) -> None:
        """Tell the watch."""
        trained = max(self._told, sum(self._counts))
        new, self._told = trained - self._told, trained
        self._watch.trained(new)

    @property
    def stopping(self) -> bool:
        """Whether the watch asks to stop."""
        return self._watch.stopping()
