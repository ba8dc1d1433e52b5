"""Survivors of several stacks, packed into one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.trainer.stack import Stack


def packed(members: Sequence[tuple[Stack, int]]) -> Stack:
    """Return a stack of these trials, each the place k of a stack, to be trained further.

    Raises ValueError unless all of them train, and their stacks differ in nothing but the trials.
    """
    first = members[0][0]
    for stack, k in members:
        if _alike(stack) != _alike(first) or k in stack.stopped or stack.steps:
            raise ValueError(f"trial {k} of a stack cannot be packed together with the others")
    return Stack(
        trials=tuple(stack.trials[k] for stack, k in members),
        penalty=first.penalty,
        seed=first.seed,
        epoch=first.epoch,
        weights=np.stack([stack.weights[k] for stack, k in members]),
        curves=[
            np.stack([stack.curves[epoch][:, k] for stack, k in members], axis=1)
            for epoch in range(first.epoch)
        ],
    )


def _alike(stack: Stack) -> tuple[object, ...]:
    return stack.batch_size, stack.penalty, stack.seed, stack.epoch
