"""Stack: K trials of one batch size trained in lockstep, on the same batches in the same order.

A step of K trials by themselves is 2K small matrix products; stacked it is two large ones. With
the trials' weights as rows, R = (C - 1) T of them in a tile of T trials (see `residual.py` for why
C - 1), X_b (B, A) the batch and A the active features:

    Z = W X_bᵀ           (R, B)   logits of all trials
    Z ← (η/B) (P - Y)             learning rates and 1/B folded in, in place
    W ← (1 - d) W - Z X_b         d = η λ/‖W‖₂ per trial ("norm"), η λ ("squared")

Decay would be one more pass over W, and float32 would round a small d away from 1. So within an
epoch W is kept as s V, with a scale s per trial in float64, and a step is

    s' = (1 - d) s,   V ← V - (1/s') Z X_b

Tiles have a fixed height, the last one padded with idle rows: BLAS then rounds a row alike wherever
it stands, so a trial's numbers do not depend on its neighbours (see README, "What is promised").
Whole tiles also fit a core's second-level cache.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import sgemm

from core.residual import Residual, residual_for
from core.result import Curves, Floats, Hyperparameters, Status, TrainingResult
from core.softmax import Penalty
from core.training_data import TrainingData

Matrix = npt.NDArray[np.float32]

TILE_ROWS_BINARY = 256
TILE_ROWS_MULTICLASS = 576
ROW_UNIT = 4  # BLAS kernels treat rows in groups of this many; a partial group rounds differently
VALIDATION_CHUNK = 1024  # examples; keeps their logits in cache
MAX_SCALE = 1e3  # or its inverse: beyond, a scale is multiplied into the weights


def tile_trials(n_trials: int, n_classes: int) -> int:
    """Trials per tile, so that n_trials fill their tiles evenly."""
    if n_trials < 1:
        raise ValueError(f"{n_trials} trials fill no tile")
    rows = TILE_ROWS_BINARY if n_classes == 2 else TILE_ROWS_MULTICLASS
    most = max(1, rows // (n_classes - 1))
    n_tiles = -(-n_trials // most)
    return -(-n_trials // n_tiles)


@dataclass(slots=True)
class _Tile:
    """The trials of one tile while they are trained; rows beyond the last trial stay zero."""

    members: npt.NDArray[np.intp]  # places in the stack, (≤ T,)
    V: Matrix  # (rows, A): class by class, each trial by trial; rows = (C - 1) T and padding
    columns: int  # C - 1
    rate: Floats  # η/B, (T,)
    shrinkage: Floats  # η λ, (T,)
    scale: Floats  # W = scale V, (T,); 1 between epochs

    @property
    def weights(self) -> Matrix:
        """V as (C - 1, T, A), which between epochs is W."""
        return self.by_class(self.V)

    def by_class(self, rows: Matrix) -> Matrix:
        """(rows, n) → (C - 1, T, n), the padding left out."""
        T = len(self.rate)
        return rows[: self.columns * T].reshape(self.columns, T, -1)

    def decay(self, penalty: Penalty) -> None:
        """The penalty's step."""
        d = self.shrinkage
        if penalty is Penalty.NORM:
            norms = np.abs(self.scale) * np.sqrt(_squared_norms(self.weights))
            norms[norms == 0] = np.inf  # the gradient at W = 0 is taken to be 0
            d = d / norms
        self.scale *= 1 - d
        size = np.abs(self.scale)
        self.fold((size < 1 / MAX_SCALE) | (size > MAX_SCALE))

    def fold(self, trials: npt.NDArray[np.bool_]) -> None:
        """Set the scale of these trials, (T,) booleans, to 1."""
        if trials.any():
            self.weights[:, trials] *= self.scale[trials, None].astype(np.float32)
            self.scale[trials] = 1


def _shaped(buffer: Matrix, rows: int, columns: int) -> Matrix:
    return buffer[: rows * columns].reshape(rows, columns)


def _subtract_product(V: Matrix, Z: Matrix, X: Matrix) -> None:
    """V ← V - Z X in place. NumPy cannot accumulate: it would need one more matrix and a pass."""
    if V.size:  # BLAS knows no empty matrix
        sgemm(-1.0, X.T, Z.T, beta=1.0, c=V.T, overwrite_c=True)


def _squared_norms(weights: Matrix) -> Matrix:
    """‖W‖₂² of each trial over all C classes, the implied one included; (C - 1, T, A) → (T,)."""
    squared: Matrix = np.vecdot(weights, weights).sum(axis=0)
    if len(weights) == 1:
        return 2 * squared
    last = weights.sum(axis=0)
    squared += np.vecdot(last, last)
    return squared


@dataclass(slots=True)
class Stack:
    """K trials in training: a plain value that can be sent between processes and resumed.

    trials: the K hyperparameters, all of one batch size.
    seed: of the data order; epoch e is shuffled by ``default_rng((seed, e))``, so the order does
        not depend on the batch size and training can resume at any epoch.
    tile: trials per tile.
    record_steps: keep the batch losses and hits of every iteration too.
    """

    trials: tuple[Hyperparameters, ...]
    penalty: Penalty
    seed: int
    tile: int
    record_steps: bool = False
    epoch: int = 0
    weights: Matrix = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    stopped: dict[int, tuple[Status, int]] = field(default_factory=dict)  # place: how, after epoch
    curves: list[Floats] = field(default_factory=list)  # one (4, K) an epoch
    steps: list[Floats] = field(default_factory=list)  # one (2, K) an iteration: loss, accuracy

    def __post_init__(self) -> None:
        sizes = {trial.batch_size for trial in self.trials}
        if len(sizes) != 1:
            raise ValueError(f"a stack trains one batch size, not {sorted(sizes)}")
        self.penalty = Penalty(self.penalty)

    @property
    def batch_size(self) -> int:
        return self.trials[0].batch_size

    @property
    def running(self) -> list[int]:
        """Places of the trials that still train."""
        return [k for k in range(len(self.trials)) if k not in self.stopped]

    def prune(self, members: Collection[int]) -> None:
        """Stop these trials here, after one epoch at least; the survivors are packed together at
        the next advance. Raises ValueError for a trial that does not run."""
        for k in members:
            if k in self.stopped or self.epoch == 0:
                raise ValueError(f"trial {k} of the stack does not run")
            self.stopped[k] = Status.PRUNED, self.epoch

    def advance(
        self,
        data: TrainingData,
        epochs: int,
        on_epoch: Callable[[int], None] = lambda trained: None,
    ) -> None:
        """Train the running trials for so many more epochs of ⌊N/B⌋ full batches each.

        on_epoch is called after each epoch with the number of trials that were trained in it.
        Raises ValueError when the batch is larger than the training split.
        """
        if self.batch_size > len(data.y):
            raise ValueError(
                f"batch size {self.batch_size} exceeds the {len(data.y)} training rows"
            )
        if self.epoch == 0:
            shape = (len(self.trials), data.n_classes - 1, len(data.active))
            self.weights = np.zeros(shape, np.float32)
        workspace = _Workspace(data, self)
        # Overflow is how a trial diverges; it is looked for once an epoch, not warned about.
        with np.errstate(all="ignore"):
            for _ in range(epochs):
                trained = len(self.running)
                if trained == 0:
                    return
                self._train_epoch(workspace)
                on_epoch(trained)

    def _train_epoch(self, workspace: _Workspace) -> None:
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
        """The result of every trial, in the order of ``trials``. Raises ValueError before the first
        epoch."""
        return [self.result(k, data) for k in range(len(self.trials))]

    def result(self, k: int, data: TrainingData) -> TrainingResult:
        """The result of the trial at place k; of one that still trains, as if this were its end.
        Raises ValueError before the first epoch."""
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
        """Up to the epoch in which the trial at place k stopped. Raises ValueError before the first
        epoch."""
        if self.epoch == 0:
            raise ValueError("nothing has been trained yet")
        _, epochs = self.stopped.get(k, (None, self.epoch))
        return Curves(*np.array([values[:, k] for values in self.curves[:epochs]]).T.copy())


def _all_classes(columns: Matrix, data: TrainingData) -> Matrix:
    """(C - 1, A) → (D, C): the implied class and the inactive features put back."""
    W = np.zeros((data.n_features, data.n_classes), np.float32)
    last = -columns.sum(axis=0)
    # For two classes the trained column u is class 1's: W = [-u, u].
    ordered = [last, *columns] if data.n_classes == 2 else [*columns, last]
    W[data.active] = np.stack(ordered, axis=1)
    return W


class _Workspace:
    """Buffers and tiles of one call of ``advance``: everything that need not travel."""

    def __init__(self, data: TrainingData, stack: Stack) -> None:
        self.data = data
        self.stack = stack
        self.n_steps = len(data.y) // stack.batch_size
        columns = data.n_classes - 1
        self.rows = -(-stack.tile * columns // ROW_UNIT) * ROW_UNIT
        B, A = stack.batch_size, len(data.active)
        self.X_batch = np.empty((B, A), np.float32)
        self.logits = np.empty(self.rows * max(B, VALIDATION_CHUNK), np.float32)
        self.validation = [
            (data.X_val[start : start + VALIDATION_CHUNK], residual_for(labels, data.n_classes))
            for start in range(0, len(data.y_val), VALIDATION_CHUNK)
            for labels in [data.y_val[start : start + VALIDATION_CHUNK]]
        ]
        self.pack()

    def pack(self) -> None:
        """Lay the running trials' weights into as few tiles as hold them."""
        stack = self.stack
        running = np.array(stack.running, np.intp)
        self.tiles: list[_Tile] = []
        for start in range(0, len(running), stack.tile):
            members = running[start : start + stack.tile]
            T = stack.tile
            tile = _Tile(
                members=members,
                V=np.zeros((self.rows, len(self.data.active)), np.float32),
                columns=self.data.n_classes - 1,
                rate=np.zeros(T),
                shrinkage=np.zeros(T),
                scale=np.ones(T),
            )
            tile.weights[:, : len(members)] = stack.weights[members].swapaxes(0, 1)
            for slot, k in enumerate(members):
                trial = stack.trials[k]
                tile.rate[slot] = trial.learning_rate / trial.batch_size
                tile.shrinkage[slot] = trial.learning_rate * trial.weight_decay
            self.tiles.append(tile)

    def store(self, except_for: Sequence[int]) -> None:
        """Keep the weights of this epoch, but of diverged trials those of the epoch before."""
        for tile in self.tiles:
            slots = [slot for slot, k in enumerate(tile.members) if k not in except_for]
            self.stack.weights[tile.members[slots]] = tile.weights[:, slots].swapaxes(0, 1)

    def finite(self) -> npt.NDArray[np.bool_]:
        """Whether each trial's weights are, (K,)."""
        finite = np.ones(len(self.stack.trials), np.bool_)
        for tile in self.tiles:
            finite[tile.members] = np.isfinite(_squared_norms(tile.weights))[: len(tile.members)]
        return finite

    def train(self, epoch: int, steps: list[Floats] | None) -> Floats:
        """One epoch; mean loss and accuracy before each update, (2, K)."""
        data, B = self.data, self.stack.batch_size
        order = np.random.default_rng((self.stack.seed, epoch)).permutation(len(data.y))
        totals = np.full((2, len(self.stack.trials)), np.nan)
        sums = np.zeros((2, len(self.tiles), self.stack.tile))
        for step in range(self.n_steps):
            rows = order[step * B : (step + 1) * B]
            # Indices are in range: "clip" only spares NumPy the buffered, bounds-checked copy.
            np.take(data.X, rows, axis=0, out=self.X_batch, mode="clip")
            residual = residual_for(data.y[rows], data.n_classes)
            before = sums.copy() if steps is not None else sums
            for place, tile in enumerate(self.tiles):
                loss, hits = self._step(tile, residual)
                sums[0, place] += loss
                sums[1, place] += hits
            if steps is not None:
                steps.append(self._by_trial((sums - before) / B, totals))
        for tile in self.tiles:
            tile.fold(tile.scale != 1)
        return self._by_trial(sums / (self.n_steps * B), totals)

    def _by_trial(self, by_tile: Floats, like: Floats) -> Floats:
        """(2, tiles, T) → (2, K), NaN for trials that no longer run."""
        by_trial = np.full_like(like, np.nan)
        for values, tile in zip(by_tile.transpose(1, 0, 2), self.tiles, strict=True):
            by_trial[:, tile.members] = values[:, : len(tile.members)]
        return by_trial

    def _step(self, tile: _Tile, residual: Residual) -> tuple[Matrix, Matrix]:
        """One update of a tile; the batch's loss and hits before it, each (T,)."""
        Z = _shaped(self.logits, self.rows, len(self.X_batch))
        np.matmul(tile.V, self.X_batch.T, out=Z)
        logits = tile.by_class(Z)
        if tile.shrinkage.any():
            logits *= tile.scale[:, None].astype(np.float32)
            tile.decay(self.stack.penalty)
        counted = residual(logits, (tile.rate / tile.scale).astype(np.float32))
        _subtract_product(tile.V, Z, self.X_batch)
        return counted

    def validate(self) -> Floats:
        """Validation loss and accuracy, (2, K); NaN where nothing is held out."""
        shape = (2, len(self.stack.trials))
        M = len(self.data.y_val)
        if M == 0:
            return np.full(shape, np.nan)
        sums = np.zeros((2, len(self.tiles), self.stack.tile))
        for place, tile in enumerate(self.tiles):
            for X, residual in self.validation:
                Z = _shaped(self.logits, self.rows, len(X))
                np.matmul(tile.V, X.T, out=Z)
                sums[:, place] += residual(tile.by_class(Z), None)
        return self._by_trial(sums / M, np.empty(shape))


def train(
    data: TrainingData,
    trials: Sequence[Hyperparameters],
    *,
    penalty: Penalty,
    epochs: int,
    seed: int,
) -> list[TrainingResult]:
    """Train trials of one batch size from zero weights; their results in the same order."""
    stack = Stack(tuple(trials), penalty, seed, tile_trials(len(trials), data.n_classes))
    stack.advance(data, epochs)
    return stack.results(data)
