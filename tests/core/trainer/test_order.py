"""The orders of the examples: permutations, the same for a seed and epoch, and well mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.trainer.order import EXACT, Order, Shuffle

BLOCK, WINDOW = 64, 64 * 64


@given(st.integers(1, 3000), st.integers(1, 70), st.integers(1, 40), st.integers(0, 50))
def test_every_row_once(n: int, block: int, blocks: int, seed: int) -> None:
    shuffle = Shuffle(block, block * blocks)
    order = shuffle.rows(n, seed, 4)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(order, shuffle.rows(n, seed, 4), "a seed and epoch decide it")


def test_the_exact_order_is_numpys_permutation() -> None:
    right = np.random.default_rng((5, 7)).permutation(1000)
    np.testing.assert_array_equal(EXACT.rows(1000, 5, 7), right)
    assert Shuffle.of(Order.EXACT, 4096) == EXACT


def test_sizes_follow_from_the_rows() -> None:
    shuffle = Shuffle.of(Order.BLOCKS, 1536)
    assert shuffle == Shuffle(5, 5 * 16384)
    assert Shuffle.of(Order.BLOCKS, 10**9) == Shuffle(1, 16384)


def test_a_disk_is_read_in_runs() -> None:
    order = Shuffle(BLOCK, WINDOW).rows(100_000, 0, 0)
    window = np.sort(order[:WINDOW])
    runs = 1 + np.count_nonzero(np.diff(window) != 1)
    assert runs <= WINDOW // BLOCK + 2


def test_batches_of_sorted_classes_are_like_random_ones() -> None:
    """The rows of a class often stand together in a file; a batch has some of each class as often
    as if the rows were drawn from everywhere: χ² of its counts has its expectation."""
    n, C, B = 200_000, 20, 500
    y = np.arange(n) * C // n
    by_order = {}
    for name, shuffle in (("exact", EXACT), ("blocks", Shuffle(16, 16 * 1024))):
        found = []
        for epoch in range(4):
            rows = shuffle.rows(n, 1, epoch)
            for batch in rows[: n // B * B].reshape(-1, B):
                counts = np.bincount(y[batch], minlength=C)
                found.append(((counts - B / C) ** 2 / (B / C)).sum())
        by_order[name] = np.mean(found)
    assert by_order["exact"] == pytest.approx(C - 1, rel=0.05)
    assert by_order["blocks"] == pytest.approx(by_order["exact"], rel=0.6)


def test_neighbours_are_cut_apart_elsewhere_in_every_epoch() -> None:
    """Two rows that share a window once do not share it always."""
    shuffle, n = Shuffle(BLOCK, WINDOW), 25 * WINDOW
    together = 0
    for epoch in range(40):
        place = np.argsort(shuffle.rows(n, 3, epoch)) // WINDOW
        together += int(place[BLOCK - 1] == place[BLOCK])
    assert 0 < together < 40
