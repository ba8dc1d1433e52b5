"""The data sets of MNIST's format as they were published, which the digests of their files tell.

The digests are of the unpacked files, so that it does not matter how a copy is compressed. MD5 is
enough to tell published files apart, and it is what their sources and many copies list: for
Fashion-MNIST https://github.com/zalandoresearch/fashion-mnist (the MD5 of the packed files there).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
_FILES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
PUBLISHED = {
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "fashion-mnist": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}
_LABELS = (1, 3)  # the places of the labels among the files


def digests(arrays: Sequence[Bytes]) -> tuple[str, ...]:
    """Return the MD5 of each array as an unpacked IDX file, hexadecimal."""
    found = []
    for array in arrays:
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        md5 = hashlib.md5(header, usedforsecurity=False)
        md5.update(np.ascontiguousarray(array).data)
        found.append(md5.hexdigest())
    return tuple(found)


def labels_of(found: Sequence[str]) -> str | None:
    """Return the data set whose labels these are, by the digests of its four files."""
    for name, known in PUBLISHED.items():
        if all(found[place] == known[place] for place in _LABELS):
            return name
    return None


def told_apart(source: str, found: Sequence[str], folder: Path) -> str | None:
    """Return a sentence if files are not those of the data set that they are taken for.

    source: the name of that. found: the digests of its four files, in this order: the images and
    the labels for training, and those for the test.
    """
    known = PUBLISHED[source]
    unlike = [file for file, a, b in zip(_FILES, found, known, strict=True) if a != b]
    if not unlike:
        return None
    going_on = "the study goes on with what they hold"
    if (other := labels_of(found)) == source:
        return (
            f"the files in {folder} have {TITLES[source]}'s labels, but other images "
            f"({' and '.join(unlike)} differ in their MD5): {going_on}"
        )
    if other is not None:
        return (
            f"the files in {folder} are {TITLES[other]}'s, not {TITLES[source]}'s: write source = "
            f'"{other}" in a study of its own; {going_on}'
        )
    return (
        f"the files in {folder} are not {TITLES[source]} as it was published "
        f"({', '.join(unlike)} differ in their MD5): {going_on}"
    )
