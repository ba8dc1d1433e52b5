"""Stacks: K trials, trained together on the same batches in the same order.

Trials of a stack share the batch size and what else decides how a step is made: momentum, schedule,
warm-up, and whether there is a bias. Learning rate and weight decay differ.

A step of K separate trials is 2K small matrix products; a step of a stack is two large ones. With
the trials' weights as rows, R = (C - 1) T of them in a tile of T trials (see `residual.py` for why
C - 1), X_b (B, F) the batch and F the active features, with one more for a bias:

    Z = W X_bᵀ           (R, B)   logits of all trials
    Z ← (η/B) (P - Y)             learning rates and 1/B are included, in place
    W ← (1 - d) W - Z X_b         d = η λ/‖W‖₂ per trial ("norm"), η λ ("squared")

See `tile.py` for momentum, for learning rates that change, and for biases. With class weights, row
n of P - Y is multiplied by the weight of its class, and B is the sum of these over the batch.

Reproducibility: the same stack gives the same bits if it is trained by the same NumPy, with one
BLAS thread, on the same kind of processor. Which trials are running alone decides how the stack is
divided into tiles, and so how BLAS rounds. In a stack with other trials, the same trial agrees only
up to rounding, because BLAS libraries round a row differently at another position in a matrix. To
get a trial's bits again, train its whole stack again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Labels, Matrix
from core.trainer.aligned import aligned_empty
from core.trainer.batches import batches
from core.trainer.learning_rate import rate_factors
from core.trainer.residual import residual_for
from core.trainer.result import Curves, Floats, Hyperparameters, Status, TrainingResult
from core.trainer.softmax import Penalty
from core.trainer.tile import Tile, tile_sizes
from core.trainer.training_data import TrainingData

VALIDATION_CHUNK = 1024  # the number of examples whose logits stay in the cache


@dataclass(slots=True)
class Stack:
    """K trials in training: a plain value that can be sent to other processes and trained further.

    trials: the K hyperparameters, alike in all that `Hyperparameters.shared` names.
    total_epochs: those of the whole training, over which the learning rate's schedule extends. It
        matters to other schedules than a constant one.
    seed: decides the order of the data. Epoch e is shuffled by ``default_rng((seed, e))``, so the
        order does not depend on the batch size, and training can resume at any epoch.
    record_steps: whether the batch loss and accuracy of every iteration are kept too.
    epoch: the number of epochs trained so far.
    stopped: for each stopped trial, by its index: how it ended, and after which epoch.
    weights: (K, C - 1, F). velocity: likewise, what the last step subtracted from the weights;
        empty without momentum.
    curves: one array per epoch, (4, K), or (5, K) with the balanced accuracy; see `Curves`.
    steps: one array (2, K) per iteration: loss and accuracy.
    """

    trials: tuple[Hyperparameters, ...]
    penalty: Penalty
    seed: int
    total_epochs: int = 0
    record_steps: bool = False
    epoch: int = 0
    weights: Matrix = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    velocity: Matrix = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    stopped: dict[int, tuple[Status, int]] = field(default_factory=dict)
    curves: list[Floats] = field(default_factory=list)
    steps: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.trials:
            raise ValueError("a stack needs at least one trial")
        if len({trial.shared for trial in self.trials}) > 1:
            raise ValueError(
                "the trials of a stack must share their features, batch size, momentum, schedule, "
                "warm-up and whether they have a bias"
            )
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

        Raises ValueError if the batch is larger than the training split, or if the trials have a
        bias and the data has no feature for it.
        """
        if self.batch_size > len(data.y):
            raise ValueError(
                f"batch size {self.batch_size} exceeds the {len(data.y)} training rows"
            )
        if self.trials[0].bias and not data.bias:
            raise ValueError("the data has no feature for a bias")
        if self.epoch == 0:
            self.weights = np.zeros(
                (len(self.trials), data.n_classes - 1, data.columns), np.float32
            )
            if self.trials[0].momentum:
                self.velocity = np.zeros_like(self.weights)
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
        trained = workspace.train(self.epoch, self.steps if self.record_steps else None)
        curves = np.concatenate([trained, workspace.validate()])
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
        weights, bias = data.all_classes(self.weights[k])
        status, epoch = self.stopped.get(k, (Status.COMPLETED, self.epoch))
        return TrainingResult(
            hyperparameters=self.trials[k],
            weights=weights,
            bias=bias,
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
        self.X_batch = aligned_empty((B, data.columns))
        self.logits = aligned_empty((rows * max(B, VALIDATION_CHUNK),))
        self.scratch = aligned_empty(self.logits.shape)
        self.validation = [
            (
                slice(start, start + VALIDATION_CHUNK),
                residual_for(
                    labels,
                    data.n_classes,
                    self.scratch,
                    None if data.class_weights is None else data.class_weights[labels],
                    None if data.hit_weights is None else data.hit_weights[labels],
                ),
            )
            for start in range(0, len(data.y_val), VALIDATION_CHUNK)
            for labels in [data.y_val[start : start + VALIDATION_CHUNK]]
        ]

    def pack(self) -> None:
        """Copy the running trials' weights into as few tiles as can hold them."""
        stack = self.stack
        running = np.array(stack.running, np.intp)
        ends = np.cumsum(tile_sizes(len(running), self.data.n_classes))
        velocity = stack.velocity if stack.velocity.size else None
        self.tiles = [
            Tile.of(members, stack.trials, stack.weights, velocity, bias=self.data.bias)
            for members in np.split(running, ends)[:-1]
        ]

    def store(self, except_for: Sequence[int]) -> None:
        """Copy the state of this epoch into the stack, except that of diverged trials."""
        for tile in self.tiles:
            slots = [slot for slot, k in enumerate(tile.members) if k not in except_for]
            members = tile.members[slots]
            self.stack.weights[members] = tile.weights[:, slots].swapaxes(0, 1)
            if tile.U is not None:
                self.stack.velocity[members] = tile.by_class(tile.U)[:, slots].swapaxes(0, 1)

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
        factors = self._rate_factors(epoch)
        sums = [np.zeros((2, len(tile.members))) for tile in self.tiles]
        for step, rows in enumerate(batches(data, B, self.stack.seed, epoch, self.X_batch)):
            if data.bias and not self.stack.trials[0].bias:
                self.X_batch[:, -1] = 0  # Other stacks have biases; here they stay zero.
            residual = residual_for(
                data.y[rows], data.n_classes, self.scratch, self._batch_weights(data.y[rows])
            )
            before = [total.copy() for total in sums] if steps is not None else []
            for tile, total in zip(self.tiles, sums, strict=True):
                loss, hits = tile.step(
                    self.X_batch, residual, self.stack.penalty, self.logits, factors[step]
                )
                total[0] += loss
                total[1] += hits
            if steps is not None:
                steps.append((self._by_trial(sums) - self._by_trial(before)) / B)
        for tile in self.tiles:
            tile.end_epoch()
        return self._by_trial(sums) / (self.n_steps * B)

    def _rate_factors(self, epoch: int) -> list[tuple[float, float]]:
        """Return the factors of the learning rate before and in each step of the epoch."""
        stack, n = self.stack, self.n_steps
        shared = stack.trials[0]
        found = rate_factors(
            shared.schedule,
            first=max(0, epoch * n - 1),
            last=(epoch + 1) * n,
            warmup_steps=shared.warmup_epochs * n,
            total_steps=stack.total_epochs * n,
        ).tolist()
        return list(pairwise(found[:1] * (epoch == 0) + found))

    def _batch_weights(self, y: Labels) -> Matrix | None:
        """Return the weights of a batch's examples, (B,), with the mean 1; None if all are 1."""
        if self.data.class_weights is None:
            return None
        weights: Matrix = self.data.class_weights[y]
        weights /= weights.mean()
        return weights

    def validate(self) -> Floats:
        """Return validation loss, accuracy and, if the data asks for it, balanced accuracy.

        The shape is (2, K) or (3, K). All are NaN if nothing is held out.
        """
        data = self.data
        n = 2 if data.hit_weights is None else 3
        sums = [np.zeros((n, len(tile.members))) for tile in self.tiles]
        for rows, residual in self.validation:
            X = data.held_out(rows)
            for tile, total in zip(self.tiles, sums, strict=True):
                total += residual(tile.logits(X, self.logits), None)
        M = len(data.y_val)
        weights = M if data.class_weights is None else data.class_weights[data.y_val].sum()
        # The hit weights have the sum 1 already.
        totals = np.array([weights, M, 1.0] if M else [np.nan] * 3)[:n, None]
        means: Floats = self._by_trial(sums) / totals
        return means

    def _by_trial(self, by_tile: Sequence[Floats]) -> Floats:
        """Return the values of all tiles, (n, T) each, as (n, K), with NaN for stopped trials."""
        n = len(by_tile[0]) if by_tile else 2
        by_trial = np.full((n, len(self.stack.trials)), np.nan)
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
    """Train trials that fit one stack from zero weights. Return their results in the same order."""
    stack = Stack(tuple(trials), penalty, seed, epochs)
    stack.advance(data, epochs)
    return stack.results(data)
