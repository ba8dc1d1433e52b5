"""Which trials of a cohort stop early: arithmetic over numbers, without Optuna.

Successive halving (Jamieson & Talwalkar 2016): all trials train to the first rung, the worst leave,
the others train on to the next, η times as far away. Hyperband (Li et al. 2018) hedges against a
first rung that comes too early: it divides the trials into brackets, each of which skips one rung
more before it begins to choose.

All members of a bracket are compared at once, whatever the order in which they arrived: a decision
depends on scores and trial numbers alone.

Notation: η the reduction factor, K + 1 rungs r_0 < … < r_K, of which r_K is the full training; n
trials begin in a bracket s that skips the first s rungs. After rung k ≥ s, ⌈n / η^(k - s + 1)⌉ of
them go on, unless fewer are left because others diverged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Score = tuple[float, ...]  # compared from left to right; lower is better


def rungs(min_epochs: int, reduction: int, max_epochs: int) -> tuple[int, ...]:
    """Epochs of the rungs: min_epochs η^k as long as they are less than max_epochs, which is the
    last one."""
    found = []
    epochs = min_epochs
    while epochs < max_epochs:
        found.append(epochs)
        epochs *= reduction
    return (*found, max_epochs)


def kept(n: int, reduction: int, decisions: int) -> int:
    """How many of n trials go on after so many decisions: ⌈n / η^decisions⌉."""
    return -(-n // int(reduction**decisions))


def survivors(scores: Mapping[int, Score], keep: int) -> set[int]:
    """The numbers of the best; ties go to the lower number. What is not finite never survives."""
    finite = [(score, number) for number, score in scores.items() if all(map(math.isfinite, score))]
    return {number for _, number in sorted(finite)[:keep]}


def bracket_sizes(n: int, n_rungs: int, reduction: int) -> list[int]:
    """Hyperband's division of n trials, the bracket that skips no rung first.

    Bracket s of K + 1 has a share proportional to ⌈(K + 1)/(K - s + 1) η^(K - s)⌉ (Li et al. 2018,
    algorithm 1, whose s counts the other way), so that all train for about as many epochs in all.
    Fractions go to the largest remainders, the earlier bracket first.
    """
    K = n_rungs - 1
    shares = [-(-(K + 1) * reduction ** (K - s) // (K - s + 1)) for s in range(K + 1)]
    total = sum(shares)
    sizes = [n * share // total for share in shares]
    remainders = [n * share % total for share in shares]
    order = sorted(range(K + 1), key=lambda s: (-remainders[s], s))
    for s in order[: n - sum(sizes)]:
        sizes[s] += 1
    return sizes


@dataclass(frozen=True, slots=True)
class Schedule:
    """How far the trials of a cohort train.

    rungs: epochs; the last one is the full training. brackets: by trial number, how many of the
    first rungs its bracket skips.
    """

    rungs: tuple[int, ...]
    reduction: int
    brackets: Mapping[int, int]

    @classmethod
    def of(
        cls,
        numbers: Iterable[int],
        rungs: tuple[int, ...],
        reduction: int,
        *,
        hyperband: bool,
        seed: Sequence[int],
    ) -> Schedule:
        """With hyperband, trials are dealt to brackets by chance, from seed: neighbours in a grid
        are alike."""
        ordered = sorted(numbers)
        sizes = bracket_sizes(len(ordered), len(rungs), reduction) if hyperband else [len(ordered)]
        places = np.repeat(np.arange(len(sizes)), sizes)
        np.random.default_rng(seed).shuffle(places)
        return cls(rungs, reduction, dict(zip(ordered, places.tolist(), strict=True)))

    def pruned(self, rung: int, scores: Mapping[int, Score]) -> set[int]:
        """The numbers of those that stop after this rung, counted from 0.

        scores: of all trials that reached it; of diverged ones not finite, or left out.
        """
        if rung == len(self.rungs) - 1:
            return set()
        stop = {number for number, score in scores.items() if not _is_finite(score)}
        for s, n in Counter(self.brackets.values()).items():
            if s <= rung:
                members = {each: scores[each] for each in scores if self.brackets[each] == s}
                stop |= members.keys() - survivors(members, kept(n, self.reduction, rung - s + 1))
        return stop


def _is_finite(score: Score) -> bool:
    return all(map(math.isfinite, score))


def planned_epochs(
    sizes: Sequence[int], skipped: Sequence[int], rungs: Sequence[int], reduction: int
) -> int:
    """Epochs of brackets of these sizes that skip so many rungs, if no trial diverges."""
    total = 0
    for n, s in zip(sizes, skipped, strict=True):
        before = 0
        for k, epochs in enumerate(rungs):
            total += kept(n, reduction, max(0, k - s)) * (epochs - before)
            before = epochs
    return total
