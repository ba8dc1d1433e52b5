"""Early stopping of the trials of a cohort, from scores and trial numbers alone.

Successive halving (Jamieson & Talwalkar 2016): all trials train to the first rung, an epoch at
which they are compared. The worst stop, and the others train on to the next rung, which is η times
as far. Hyperband (Li et al. 2018) guards against a first rung that is too early: it divides the
trials into brackets, and each bracket skips one rung more than the one before it.

All members of a bracket are compared at once, so the order in which they finish does not matter.

Notation: η is the reduction factor. There are K + 1 rungs, numbered from 0, at the epochs
r_0 < … < r_K, and r_K is the full training. In bracket s, n trials begin, and the first s rungs are
skipped. After rung k ≥ s, ⌈n / η^(k - s + 1)⌉ of them train on, or fewer if too many diverged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Score = tuple[float, ...]  # Scores are compared from left to right, and lower is better.


def rung_epochs(min_epochs: int, reduction_factor: int, max_epochs: int) -> tuple[int, ...]:
    """Return the epochs of the rungs: every min_epochs η^k below max_epochs, then max_epochs."""
    found = []
    epochs = min_epochs
    while epochs < max_epochs:
        found.append(epochs)
        epochs *= reduction_factor
    return (*found, max_epochs)


def kept(n: int, reduction_factor: int, decisions: int) -> int:
    """Return how many of n trials train on after this many decisions: ⌈n / η^decisions⌉."""
    return -(-n // int(reduction_factor**decisions))


def survivors(scores: Mapping[int, Score], keep: int) -> set[int]:
    """Return the numbers of the ``keep`` best trials; of equal trials, the lower numbers.

    A trial whose score is not finite is never among them.
    """
    finite = [(score, number) for number, score in scores.items() if _is_finite(score)]
    return {number for _, number in sorted(finite)[:keep]}


def bracket_sizes(n: int, n_rungs: int, reduction_factor: int) -> list[int]:
    """Return how Hyperband divides n trials into brackets; the first bracket skips no rung.

    Bracket s of K + 1 has a share proportional to ⌈(K + 1)/(K - s + 1) η^(K - s)⌉ (Li et al. 2018,
    algorithm 1, where s counts in the other direction), so that each bracket trains for about the
    same total number of epochs. Shares are rounded by largest remainder; ties go to the earlier
    bracket.
    """
    K = n_rungs - 1
    shares = [-(-(K + 1) * reduction_factor ** (K - s) // (K - s + 1)) for s in range(K + 1)]
    total = sum(shares)
    sizes = [n * share // total for share in shares]
    remainders = [n * share % total for share in shares]
    order = sorted(range(K + 1), key=lambda s: (-remainders[s], s))
    for s in order[: n - sum(sizes)]:
        sizes[s] += 1
    return sizes


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rungs of a cohort, and which trials stop at them.

    rung_epochs: the epochs at which trials are compared; the last one is the full training.
    brackets: for each trial number, how many of the first rungs its bracket skips.
    """

    rung_epochs: tuple[int, ...]
    reduction_factor: int
    brackets: Mapping[int, int]

    @classmethod
    def of(
        cls,
        numbers: Iterable[int],
        rung_epochs: tuple[int, ...],
        reduction_factor: int,
        *,
        hyperband: bool,
        seed: Sequence[int],
    ) -> Schedule:
        """Return the schedule of the trials with these numbers.

        With ``hyperband``, trials are put into brackets at random, as ``seed`` decides. Otherwise
        neighbours in a grid, which are alike, would share a bracket.
        """
        ordered = sorted(numbers)
        n, n_rungs = len(ordered), len(rung_epochs)
        sizes = bracket_sizes(n, n_rungs, reduction_factor) if hyperband else [n]
        brackets = np.repeat(np.arange(len(sizes)), sizes)
        np.random.default_rng(seed).shuffle(brackets)
        by_number = dict(zip(ordered, brackets.tolist(), strict=True))
        return cls(rung_epochs, reduction_factor, by_number)

    def pruned(self, rung: int, scores: Mapping[int, Score]) -> set[int]:
        """Return the numbers of the trials that stop after this rung, counted from 0.

        scores: those of all trials that reached the rung. A diverged trial has a score that is not
            finite, or none.
        """
        if rung == len(self.rung_epochs) - 1:
            return set()
        stop = {number for number, score in scores.items() if not _is_finite(score)}
        for s, n in Counter(self.brackets.values()).items():
            if s <= rung:
                members = {each: scores[each] for each in scores if self.brackets[each] == s}
                keep = kept(n, self.reduction_factor, rung - s + 1)
                stop |= members.keys() - survivors(members, keep)
        return stop


def _is_finite(score: Score) -> bool:
    """Return whether all parts of a score are finite."""
    return all(map(math.isfinite, score))


def planned_epochs(
    sizes: Sequence[int], skipped: Sequence[int], rung_epochs: Sequence[int], reduction_factor: int
) -> int:
    """Return the total number of epochs that these brackets train if no trial diverges.

    sizes: the number of trials in each bracket. skipped: how many rungs each bracket skips.
    """
    total = 0
    for n, s in zip(sizes, skipped, strict=True):
        before = 0
        for k, epochs in enumerate(rung_epochs):
            total += kept(n, reduction_factor, max(0, k - s)) * (epochs - before)
            before = epochs
    return total
