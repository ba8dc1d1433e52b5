"""What every executor takes, returns and promises. An executor trains stacks somewhere.

It takes and returns values of `core` only. Jobs have no state outside them, and the same stack
gives the same result, so a job that was lost is simply run again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.datasets.dataset import DataError
from core.datasets.npz import HELD_BYTES
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.errors import LockstepError

# What each fold is trained on, one if a part is held out instead. With several sets of features, an
# executor has those of all sets, one after another.
Folds = Sequence[TrainingData]
POLL_SECONDS = 0.2  # the time between two checks whether a job is done
# The bytes of weights in stacks that are trained ahead of those that are recorded. Beyond it, only
# as many stacks are trained ahead as there are workers, whatever their size.
ROOM = 512 << 20


class Watch(Protocol):
    """An observer of the training, which may ask it to stop."""

    def trained(self, epochs: int) -> None:
        """Note how many epochs were trained since the last call, summed over trials."""

    def repeated(self, epochs: int) -> None:
        """Note how many epochs were trained before and will be trained again."""

    def waiting(self) -> None:
        """Do what can be done while no stack is ready; called a few times per second."""

    def stopping(self) -> bool:
        """Return whether the training should stop."""


@dataclass(frozen=True, slots=True)
class StackJob:
    """A stack, for how many more epochs to train it, and on which fold of the executor's data."""

    stack: Stack
    epochs: int
    fold: int = 0


class Executor(Protocol):
    """Anything that trains stacks.

    training_seconds: the time from the start of the last run to its last finished job.
    """

    @property
    def training_seconds(self) -> float:
        """See above."""

    def run(self, jobs: Sequence[StackJob], watch: Watch) -> Iterator[Stack]:
        """Train the jobs, and yield their stacks in the order of ``jobs``.

        Progress is reported to the watch a few times per second. Once the watch asks to stop, no
        further stack is yielded.

        A stack is released when the next one is asked for. If its user is slower than the training,
        the training waits, so that stacks do not fill the memory: see `may_start`.
        """


class Examples:
    """What an executor's stacks are trained on in this process.

    Examples in files are read into memory if they are few, once for all jobs in a row that are
    trained on them. More of them stay in their files.
    """

    def __init__(self, folds: Folds) -> None:
        self._folds = folds
        self._read: tuple[int, TrainingData] | None = None  # a fold's index, and what was read

    def of(self, fold: int) -> TrainingData:
        """Return the examples of a fold. Raises DataError if a file of theirs has changed."""
        data = self._folds[fold]
        if data.nbytes > HELD_BYTES:
            return data
        if self._read is None or self._read[0] != fold:
            self._read = None  # so that there is never memory for two
            self._read = fold, data.in_memory()
        return self._read[1]


def weight_bytes(folds: Folds, job: StackJob) -> int:
    """Return the size of the weights of a job's stack, in bytes, with their velocity."""
    data, trials = folds[job.fold], job.stack.trials
    with_velocity = 2 if trials[0].momentum else 1
    return 4 * with_velocity * len(trials) * data.n_features * (data.n_classes - 1)


def may_start(sizes: Sequence[int], released: int, workers: int) -> int:
    """Return how many jobs, the first ones, may have been started by now.

    sizes: those of the weights of the jobs' stacks, in bytes. released: how many stacks were
    trained, and are no longer needed. The others that are started, which wait for a worker, train,
    wait for their turn, or are being recorded, have `ROOM`, or are one more than the workers.
    """
    started, held = released, 0
    for size in sizes[released:]:
        held += size
        if started - released > workers and held > ROOM:
            break
        started += 1
    return started


def run_job(
    examples: Examples, job: StackJob, on_epoch: Callable[[int], object] = lambda trained: None
) -> Stack:
    """Return the trained stack of a job; the job's own stack does not change.

    on_epoch: see `Stack.advance`. Raises LockstepError if a file of the examples has changed.
    """
    stack = copy.deepcopy(job.stack)
    try:
        stack.advance(examples.of(job.fold), job.epochs, on_epoch)
    except DataError as error:
        raise LockstepError(str(error)) from error
    return stack


class Reporter:
    """A reporter of the progress of a run to a watch.

    counts: the trained epochs of each job, which other code keeps up to date.
    """

    def __init__(self, counts: Any, watch: Watch) -> None:
        self._counts = counts
        self._watch = watch
        self._told = 0

    def tell(self) -> None:
        """Report to the watch how many epochs were trained since the last report."""
        trained = max(self._told, sum(self._counts))
        new, self._told = trained - self._told, trained
        self._watch.trained(new)

    def wait(self) -> None:
        """Report to the watch that no stack is ready yet."""
        self.tell()
        self._watch.waiting()

    @property
    def stopping(self) -> bool:
        """Whether the watch asks to stop."""
        return self._watch.stopping()
