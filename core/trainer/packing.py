"""Packing: the trials that still train in several stacks are put into one stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.trainer.stack import Stack


def packed(members: Sequence[tuple[Stack, int]]) -> Stack:
    """Return one stack of these trials, ready to be trained further.

    members: for each trial its stack and its index k there.

    Raises ValueError if a trial no longer trains, if a stack recorded its steps, or if the stacks
    differ in penalty, seed, epochs or in what `Hyperparameters.shared` names.
    """
    first = members[0][0]
    for stack, k in members:
        if _alike(stack) != _alike(first) or k in stack.stopped or stack.steps:
            raise ValueError(f"trial {k} of a stack cannot be packed together with the others")
    return Stack(
        trials=tuple(stack.trials[k] for stack, k in members),
        penalty=first.penalty,
        seed=first.seed,
        total_epochs=first.total_epochs,
        epoch=first.epoch,
        weights=np.stack([stack.weights[k] for stack, k in members]),
        velocity=(
            np.stack([stack.velocity[k] for stack, k in members])
            if first.velocity.size
            else first.velocity
        ),
        curves=[
            np.stack([stack.curves[epoch][:, k] for stack, k in members], axis=1)
            for epoch in range(first.epoch)
        ],
    )


def _alike(stack: Stack) -> tuple[object, ...]:
    """Return what stacks must have in common to be packed together."""
    return stack.trials[0].shared, stack.penalty, stack.seed, stack.total_epochs, stack.epoch
