"""Benchmark 1: the trainer alone on one core, against the machine's peak, a loop and JAX."""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jax_vmap import JaxPeer
from measure import Rounds, interleaved, one_core, ratio, sgemm_seconds, table, timed
from plain_loop import PlainTrial

from core.datasets.dataset import Dataset
from core.datasets.source import Source
from core.datasets.sources import load_source
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData

ROWS, HELD_OUT = 10_000, 2_049
BATCH_SIZES = (25, 50, 100, 200, 400, 800)
TRIALS = (1, 8, 64, 256)
LOOPED = 2  # trials that the plain loop is timed on; its time is scaled to K
SEED = 0
TOLERANCE = 2e-3  # relative, between validation losses of the variants


@dataclass(frozen=True, slots=True)
class Problem:
    train: Dataset
    validation: Dataset
    data: TrainingData

    @property
    def n_classes(self) -> int:
        return len(self.train.class_names)

    @property
    def algebra(self) -> float:
        """Nominal over actual operations: columns and features that need not be trained."""
        C, D = self.n_classes, self.train.X.shape[1]
        return float(C * D) / ((C - 1) * len(self.data.active))


def problem(classes: Sequence[int] | None, data_dir: Path | None) -> Problem:
    """The first images of MNIST; their order is random."""
    images = load_source(Source("mnist"), classes, data_dir, print, print).train
    train = images.take(np.arange(ROWS))
    validation = images.take(np.arange(ROWS, ROWS + HELD_OUT))
    return Problem(train, validation, TrainingData.of(train, validation))


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the table."""

    problem: Problem
    batch_size: int
    trials: int
    seconds: Rounds  # of an epoch of all trials, by variant; "peak": of one operation
    deviation: float  # largest, relative, between validation losses

    @property
    def share_of_peak(self) -> float:
        """Nominal operations a second, 4 N D K C an epoch, over sgemm's."""
        D, C = self.problem.train.X.shape[1], self.problem.n_classes
        nominal = 4 * ROWS * D * self.trials * C
        return ratio([peak * nominal for peak in self.seconds["peak"]], self.seconds["lockstep"])

    def faster_than(self, variant: str) -> float:
        return ratio(self.seconds[variant], self.seconds["lockstep"])


def measure_cell(
    problem: Problem, batch_size: int, n_trials: int, jax: JaxPeer | None, rounds: int
) -> Cell:
    rates = np.geomspace(1e-3, 1e-1, n_trials)
    trials = tuple(Hyperparameters(float(rate), 1e-3, batch_size) for rate in rates)
    stack = Stack(trials, Penalty.NORM, SEED)
    looped = sorted({0, n_trials - 1})[-LOOPED:]
    train, held_out = problem.train, problem.validation
    plain = [PlainTrial(trials[k], train.X.shape[1], problem.n_classes, SEED) for k in looped]

    def loop() -> float:
        def epoch() -> None:
            for each in plain:
                each.train_epoch(train.X, train.y, held_out.X, held_out.y)

        return timed(epoch) * n_trials / len(plain)

    variants: dict[str, Callable[[], float]] = {
        "peak": sgemm_seconds,
        "lockstep": lambda: timed(lambda: stack.advance(problem.data, 1)),
        "loop": loop,
    }
    if jax is not None:
        jax.compile(trials, SEED)
        epochs = itertools.count()
        variants["jax"] = lambda: jax.train_epoch(next(epochs))
    seconds = interleaved(variants, rounds)
    ours = stack.curves[-1][2]
    deviations = [abs(each.val_loss / ours[k] - 1) for k, each in zip(looped, plain, strict=True)]
    if jax is not None:
        deviations += list(np.abs(np.array(jax.val_loss) / ours - 1))
    deviation = float(np.max(deviations))
    if not deviation <= TOLERANCE:  # NaN is a failure too
        raise SystemExit(
            f"C = {problem.n_classes}, B = {batch_size}, K = {n_trials}: the variants reach "
            f"validation losses that differ by {deviation:.1e}, so their times do not compare"
        )
    return Cell(problem, batch_size, n_trials, seconds, deviation)


def trainer(data_dir: Path | None, rounds: int, quick: bool, say: Callable[[str], None]) -> str:
    """The Markdown section."""
    sizes, counts = ((50, 400), (1, 64)) if quick else (BATCH_SIZES, TRIALS)
    cells = []
    jax_missing = ""
    with one_core(), tempfile.TemporaryDirectory() as folder:
        for classes in ((3, 6), None):
            mnist = problem(classes, data_dir)
            path = Path(folder, f"{mnist.n_classes}.npz")
            train, held_out = mnist.train, mnist.validation
            np.savez(
                path,
                X=train.X,
                y=train.y.astype(np.int32),
                X_val=held_out.X,
                y_val=held_out.y.astype(np.int32),
                n_classes=mnist.n_classes,
            )
            with JaxPeer(path) as jax:
                jax_missing = jax.missing
                for batch_size, n_trials in itertools.product(sizes, counts):
                    peer = None if jax_missing else jax
                    cells.append(measure_cell(mnist, batch_size, n_trials, peer, rounds))
                    say(" | ".join(_row(cells[-1])))
    return _section(cells, rounds, jax_missing)


HEADINGS = [
    "C", "B", "K", "epoch, ms", "nominal flop/s over sgemm", "actual over sgemm",
    "× plain loop", "× JAX vmap",
]  # fmt: skip


def _row(cell: Cell) -> list[str]:
    return [
        str(cell.problem.n_classes),
        str(cell.batch_size),
        str(cell.trials),
        f"{1000 * statistics.median(cell.seconds['lockstep']):.1f}",
        f"{cell.share_of_peak:.2f}",
        f"{cell.share_of_peak / cell.problem.algebra:.2f}",
        f"{cell.faster_than('loop'):.1f}",
        f"{cell.faster_than('jax'):.2f}" if "jax" in cell.seconds else "not installed",
    ]


def _section(cells: Sequence[Cell], rounds: int, jax_missing: str) -> str:
    peak = 1e-9 / statistics.median(second for cell in cells for second in cell.seconds["peak"])
    algebra = ", ".join(
        f"{each.algebra:.2f} at C = {each.n_classes}"
        for each in {cell.problem.n_classes: cell.problem for cell in cells}.values()
    )
    lines = [
        "## Trainer, one core",
        "",
        f"MNIST, {ROWS:,} training and {HELD_OUT:,} validation images; one epoch with train and "
        f'validation metrics; penalty "norm". sgemm peak {peak:.0f} Gflop/s on one thread. '
        f"Medians of {rounds} interleaved rounds. Nominal operations are 4·N·D·K·C an epoch; "
        f"algebra alone (columns and features that need not be trained) is {algebra}. The plain "
        f"loop is timed on at most {LOOPED} trials and scaled to K. Validation losses of all "
        f"variants agree within {max(cell.deviation for cell in cells):.0e}."
        + (f" JAX: {jax_missing}." if jax_missing else ""),
        "",
        table(HEADINGS, [_row(cell) for cell in cells]),
        "",
        _targets(cells),
    ]
    return "\n".join(lines)


def _targets(cells: Sequence[Cell]) -> str:
    """What the project set out to reach, and the worst cell of each."""

    def worst(value: Callable[[Cell], float], C: int, sizes: range, counts: range) -> str:
        chosen = [
            value(cell)
            for cell in cells
            if cell.problem.n_classes == C and cell.batch_size in sizes and cell.trials in counts
        ]
        return f"{min(chosen):.2f}" if chosen else "–"

    large, some, any_size = range(256, 257), range(64, 257), range(25, 801)
    has_jax = all("jax" in cell.seconds for cell in cells)
    rows = [
        ["share of peak, C = 2, B ≥ 200, K = 256", "1.4",
         worst(lambda cell: cell.share_of_peak, 2, range(200, 801), large)],
        ["share of peak, C = 2, B = 50, K = 256", "1.1",
         worst(lambda cell: cell.share_of_peak, 2, range(50, 51), large)],
        ["share of peak, C = 10, B ≥ 200, K = 256", "0.9",
         worst(lambda cell: cell.share_of_peak, 10, range(200, 801), large)],
        ["× plain loop, C = 2, K ≥ 64", "25",
         worst(lambda cell: cell.faster_than("loop"), 2, any_size, some)],
    ]  # fmt: skip
    if has_jax:
        for C, aim in ((2, "1.6"), (10, "1.1")):
            found = worst(lambda cell: cell.faster_than("jax"), C, any_size, some)
            rows.append([f"× JAX vmap, C = {C}, K ≥ 64", aim, found])
    return table(["aim", "at least", "worst cell"], rows)
