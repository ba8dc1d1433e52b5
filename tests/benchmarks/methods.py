"""Benchmark: what a bias, momentum and class weights cost the trainer, on one core."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import interleaved, one_core, ratio, table, timed
from trainer import SEED, Problem, problem

from core.trainer.learning_rate import Schedule
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData

BATCH_SIZE, EPOCHS = 200, 100
METHODS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias": {"bias": True},
    "cosine": {"schedule": Schedule.COSINE, "warmup_epochs": 5},
    "momentum": {"momentum": 0.9},
    "bias and momentum": {"bias": True, "momentum": 0.9},
    "class weights": {},
}
AIMS = {"bias": 1.03, "momentum": 1.15}


def methods(data_dir: Path | None, rounds: int, quick: bool, say: Callable[[str], None]) -> str:
    """The Markdown section."""
    rows = []
    with one_core():
        for classes, n_trials in itertools.product(((3, 6), None), (64,) if quick else (64, 256)):
            rows.append(_row(problem(classes, data_dir), n_trials, rounds))
            say(" | ".join(rows[-1]))
    aims = ", ".join(f"{name} {aim:.2f}" for name, aim in AIMS.items())
    return "\n".join(
        [
            "## Biases, momentum, class weights",
            "",
            f"Time of an epoch over that without them, MNIST as above, batches of {BATCH_SIZE}, "
            f'penalty "squared", one core. Medians of {rounds} interleaved rounds. Aims at most: '
            f"{aims}.",
            "",
            table(["C", "K", *list(METHODS)[1:]], rows),
        ]
    )


def _row(mnist: Problem, n_trials: int, rounds: int) -> list[str]:
    rates = np.geomspace(1e-3, 1e-1, n_trials)
    trials = [Hyperparameters(float(rate), 1e-3, BATCH_SIZE) for rate in rates]
    variants: dict[str, Callable[[], float]] = {}
    for name, method in METHODS.items():
        data = TrainingData.of(
            mnist.train,
            mnist.validation,
            bias="bias" in method,
            balanced_classes=name == "class weights",
        )
        own = tuple(replace(trial, **method) for trial in trials)
        stack = Stack(own, Penalty.SQUARED, SEED, EPOCHS)
        variants[name] = partial(timed, partial(stack.advance, data, 1))
    seconds = interleaved(variants, rounds)
    ratios = [ratio(seconds[name], seconds["plain"]) for name in list(METHODS)[1:]]
    return [str(mnist.n_classes), str(n_trials), *(f"{each:.2f}" for each in ratios)]
