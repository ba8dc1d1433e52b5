"""Blocks of probabilities, and which classes are among the most probable ones."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from core.statistics.classification import classification_scores
from core.statistics.probabilities import CELLS, among_top, column_blocks, row_blocks


@given(
    seed=st.integers(0, 2**32 - 1),
    M=st.integers(1, 40),
    C=st.integers(3, 15),
    levels=st.sampled_from([1, 2, 4, 1000]),
    k=st.integers(1, 6),
)
def test_the_most_probable_classes_are_scikit_learns(
    seed: int, M: int, C: int, levels: int, k: int
) -> None:
    """With ties too."""
    rng = np.random.default_rng(seed)
    S, y = rng.integers(levels, size=(M, C)) / levels, rng.integers(C, size=M)
    with warnings.catch_warnings():  # scikit-learn warns if k says nothing
        warnings.simplefilter("ignore")
        expected = top_k_accuracy_score(y, S, k=k, labels=np.arange(C))
    assert among_top(S, y, k).mean() == expected


@pytest.mark.parametrize("shape", [(7, 3), (1, 1), (5, 100), (0, 4)])
def test_blocks_hold_everything_once(shape: tuple[int, int]) -> None:
    for blocks, n, across in ((row_blocks, *shape), (column_blocks, *shape[::-1])):
        slices = list(blocks(shape, 10))
        covered = [index for part in slices for index in range(part.start, part.stop)]
        assert covered == list(range(n))
        for part in slices:
            assert part.stop - part.start == 1 or (part.stop - part.start) * across <= 10


class Made:
    """Probabilities that are made for each block, and never all together."""

    shape = (8_000, 1_500)

    def __getitem__(self, part: tuple[slice, slice]) -> np.ndarray:
        m, k = (len(range(*of.indices(n))) for of, n in zip(part, self.shape, strict=True))
        assert m * k <= CELLS
        start = part[0].indices(self.shape[0])[0]
        seeds = np.random.default_rng(start).random(m)
        return (1 + np.outer(seeds, np.linspace(0, 1, k))) / (1.5 * self.shape[1])


def test_scores_never_need_all_probabilities() -> None:
    M, C = Made.shape
    y = np.arange(M) % C
    tracemalloc.start()
    classification_scores(Made(), (y + y % 2) % C, y, [f"c{c}" for c in range(C)], seed=0)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 4 * 8 * CELLS, "all of them are 96 MB, and the resamples are bounded"
