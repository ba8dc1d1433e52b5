"""Stacks: K trials of one batch size, trained together on the same batches in the same order.

A step of K separate trials is 2K small matrix products; a step of a stack is two large ones. With
the trials' weights as rows, R = (C - 1) T of them in a tile of T trials (see `residual.py` for why
C - 1), X_b (B, A) the batch and A the active features:

    Z = W X_bᵀ           (R, B)   logits of all trials
    Z ← (η/B) (P - Y)             learning rates and 1/B are included, in place
    W ← (1 - d) W - Z X_b         d = η λ/‖W‖₂ per trial ("norm"), η λ ("squared"); see `tile.py`

Reproducibility: the same stack gives the same bits if it is trained by the same NumPy, with one
BLAS thread, on the same kind of processor. Which trials are running alone decides how the stack is
divided into tiles, and so how BLAS rounds. In a stack with other trials, the same trial agrees only
up to rounding, because BLAS libraries round a row differently at another position in a matrix. To
get a trial's bits again, train its whole stack again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Matrix
from core.trainer.aligned import aligned_empty
from core.trainer.residual import residual_for
from core.trainer.result import Curves, Floats, Hyperparameters, Status, TrainingResult
from core.trainer.softmax import Penalty
from core.trainer.tile import Tile, tile_sizes
from core.trainer.training_data import TrainingData

VALIDATION_CHUNK = 1024  # the number of examples whose logits stay in the cache


@dataclass(slots=True)
class Stack:
    """K trials in training: a plain value that can be sent to other processes and trained further.

    trials: the K hyperparameters, all of one batch size.
    seed: decides the order of the data. Epoch e is shuffled by ``default_rng((seed, e))``, so the
        order does not depend on the batch size, and training can resume at any epoch.
    record_steps: whether the batch loss and accuracy of every iteration are kept too.
    epoch: the number of epochs trained so far.
    stopped: for each stopped trial, by its index: how it ended, and after which epoch.
    curves: one array (4, K) per epoch. steps: one array (2, K) per iteration: loss and accuracy.
    """

    trials: tuple[Hyperparameters, ...]
    penalty: Penalty
    seed: int
    record_steps: bool = False
    epoch: int = 0
    weights: Matrix = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    stopped: dict[int, tuple[Status, int]] = field(default_factory=dict)
    curves: list[Floats] = field(default_factory=list)
    steps: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        sizes = {trial.batch_size for trial in self.trials}
        if len(sizes) != 1:
            raise ValueError(f"a stack trains one batch size, not {sorted(sizes)}")
        self.penalty = Penalty(self.penalty)

    @property
    def batch_size(self) -> int:
        """The batch size that all trials share."""
        return self.trials[0].batch_size

    @property
    def running(self) -> list[int]:
        """The indices of the trials that still train."""
        return [k for k in range(len(self.trials)) if k not in self.stopped]

    def prune(self, members: Collection[int]) -> None:
        """Stop these trials after the current epoch. The next `advance` packs the others together.

        Raises ValueError if a trial has stopped already, or if nothing has been trained yet.
        """
        for k in members:
            if k in self.stopped or self.epoch == 0:
                raise ValueError(f"trial {k} of the stack does not run")
            self.stopped[k] = Status.PRUNED, self.epoch

    def advance(
        self,
        data: TrainingData,
        epochs: int,
        on_epoch: Callable[[int], object] = lambda trained: None,
    ) -> None:
        """Train the running trials for this many more epochs, each of ⌊N/B⌋ full batches.

        on_epoch: called after each epoch with the number of trials that were trained in it. If it
            returns true, training stops there.

        Raises ValueError if the batch is larger than the training split.
        """
        if self.batch_size > len(data.y):
            raise ValueError(
                f"batch size {self.batch_size} exceeds the {len(data.y)} training rows"
            )
        if self.epoch == 0:
            shape = (len(self.trials), data.n_classes - 1, len(data.active))
            self.weights = np.zeros(shape, np.float32)
        workspace = _Workspace(data, self)
        # A trial that diverges overflows. This is checked once per epoch, so no warning is needed.
        with np.errstate(all="ignore"):
            for _ in range(epochs):
                trained = len(self.running)
                if trained == 0:
                    return
                self._train_epoch(workspace)
                if on_epoch(trained):
                    return

    def _train_epoch(self, workspace: _Workspace) -> None:
        """Train and validate one epoch, and stop the trials that diverged in it."""
        curves = np.full((4, len(self.trials)), np.nan)
        curves[:2] = workspace.train(self.epoch, self.steps if self.record_steps else None)
        curves[2:] = workspace.validate()
        self.epoch += 1
        self.curves.append(curves)
        finite = workspace.finite() & np.isfinite(curves[0])
        diverged = [k for k in self.running if not finite[k]]
        workspace.store(except_for=diverged)
        if diverged:
            for k in diverged:
                self.stopped[k] = Status.DIVERGED, self.epoch
            workspace.pack()

    def results(self, data: TrainingData) -> list[TrainingResult]:
        """Return the result of every trial, in the order of ``trials``.

        Raises ValueError if nothing has been trained yet.
        """
        return [self.result(k, data) for k in range(len(self.trials))]

    def result(self, k: int, data: TrainingData) -> TrainingResult:
        """Return the result of trial k; if it still trains, as if it were completed now.

        Raises ValueError if nothing has been trained yet.
        """
        curves = self.curves_of(k)
        status, epoch = self.stopped.get(k, (Status.COMPLETED, self.epoch))
        return TrainingResult(
            hyperparameters=self.trials[k],
            weights=_all_classes(self.weights[k], data),
            curves=curves,
            status=status,
            stopped_epoch=epoch,
        )

    def curves_of(self, k: int) -> Curves:
        """Return the curves of trial k, up to the epoch in which it stopped.

        Raises ValueError if nothing has been trained yet.
        """
        if self.epoch == 0:
            raise ValueError("nothing has been trained yet")
        _, epochs = self.stopped.get(k, (None, self.epoch))
        return Curves(*np.array([values[:, k] for values in self.curves[:epochs]]).T.copy())


def _all_classes(columns: Matrix, data: TrainingData) -> Matrix:
    """Return trained columns (C - 1, A) as weights (D, C).

    The implied class and the inactive features are put back.
    """
    W = np.zeros((data.n_features, data.n_classes), np.float32)
    last = -columns.sum(axis=0)
    # For two classes the trained column u belongs to class 1: W = [-u, u].
    ordered = [last, *columns] if data.n_classes == 2 else [*columns, last]
    W[data.active] = np.stack(ordered, axis=1)
    return W


class _Workspace:
    """The buffers and tiles of one call of `Stack.advance`, which no other process needs."""

    def __init__(self, data: TrainingData, stack: Stack) -> None:
        self.data = data
        self.stack = stack
        self.n_steps = len(data.y) // stack.batch_size
        self.tiles: list[Tile] = []
        self.pack()
        B = stack.batch_size
        rows = max((len(tile.V) for tile in self.tiles), default=0)
        self.X_batch = aligned_empty((B, len(data.active)))
        self.logits = aligned_empty((rows * max(B, VALIDATION_CHUNK),))
        self.scratch = aligned_empty(self.logits.shape)
        self.validation = [
            (
                data.X_val[start : start + VALIDATION_CHUNK],
                residual_for(labels, data.n_classes, self.scratch),
            )
            for start in range(0, len(data.y_val), VALIDATION_CHUNK)
            for labels in [data.y_val[start : start + VALIDATION_CHUNK]]
        ]

    def pack(self) -> None:
        """Copy the running trials' weights into as few tiles as can hold them."""
        stack = self.stack
        running = np.array(stack.running, np.intp)
        ends = np.cumsum(tile_sizes(len(running), self.data.n_classes))
        self.tiles = [
            Tile.of(members, stack.trials, stack.weights)
            for members in np.split(running, ends)[:-1]
        ]

    def store(self, except_for: Sequence[int]) -> None:
        """Copy the weights of this epoch into the stack, except those of diverged trials."""
        for tile in self.tiles:
            slots = [slot for slot, k in enumerate(tile.members) if k not in except_for]
            self.stack.weights[tile.members[slots]] = tile.weights[:, slots].swapaxes(0, 1)

    def finite(self) -> npt.NDArray[np.bool_]:
        """Return whether each trial's weights are finite, (K,)."""
        finite = np.ones(len(self.stack.trials), np.bool_)
        for tile in self.tiles:
            finite[tile.members] = np.isfinite(tile.squared_norms())
        return finite

    def train(self, epoch: int, steps: list[Floats] | None) -> Floats:
        """Train one epoch. Return the mean loss and accuracy before each update, (2, K).

        steps: if given, the loss and accuracy of each batch are appended to it.
        """
        data, B = self.data, self.stack.batch_size
        order = np.random.default_rng((self.stack.seed, epoch)).permutation(len(data.y))
        sums = [np.zeros((2, len(tile.members))) for tile in self.tiles]
        for step in range(self.n_steps):
            rows = order[step * B : (step + 1) * B]
            # The indices are in range. "clip" only avoids NumPy's buffered, bounds-checked copy.
            np.take(data.X, rows, axis=0, out=self.X_batch, mode="clip")
            residual = residual_for(data.y[rows], data.n_classes, self.scratch)
            before = [total.copy() for total in sums] if steps is not None else []
            for tile, total in zip(self.tiles, sums, strict=True):
                loss, hits = tile.step(self.X_batch, residual, self.stack.penalty, self.logits)
                total[0] += loss
                total[1] += hits
            if steps is not None:
                steps.append((self._by_trial(sums) - self._by_trial(before)) / B)
        for tile in self.tiles:
            tile.end_epoch()
        return self._by_trial(sums) / (self.n_steps * B)

    def validate(self) -> Floats:
        """Return validation loss and accuracy, (2, K), which are NaN if nothing is held out."""
        sums = [np.zeros((2, len(tile.members))) for tile in self.tiles]
        for tile, total in zip(self.tiles, sums, strict=True):
            for X, residual in self.validation:
                total += residual(tile.logits(X, self.logits), None)
        M = len(self.data.y_val)
        return self._by_trial(sums) / (M or np.nan)

    def _by_trial(self, by_tile: Sequence[Floats]) -> Floats:
        """Return the values of all tiles, (2, T) each, as (2, K), with NaN for stopped trials."""
        by_trial = np.full((2, len(self.stack.trials)), np.nan)
        for values, tile in zip(by_tile, self.tiles, strict=True):
            by_trial[:, tile.members] = values
        return by_trial


def train(
    data: TrainingData,
    trials: Sequence[Hyperparameters],
    *,
    penalty: Penalty,
    epochs: int,
    seed: int,
) -> list[TrainingResult]:
    """Train trials of one batch size from zero weights. Return their results in the same order."""
    stack = Stack(tuple(trials), penalty, seed)
    stack.advance(data, epochs)
    return stack.results(data)
