"""Choose the classes that a picture shows if there are more than can be read.

The choice depends on the data alone, so that the pictures of all trials show the same classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ShownClasses:
    """The classes that a picture shows.

    indices: the classes, ascending, (K,).
    note: a sentence that says which they are; empty if these are all.
    """

    indices: npt.NDArray[np.intp]
    note: str

    @classmethod
    def of(cls, examples: npt.NDArray[np.integer[Any]], most: int) -> ShownClasses:
        """Return up to ``most`` classes, those with the most examples.

        examples: the number of training examples of each class, (C,). Of classes with equally many,
            the first are taken.
        """
        C = len(examples)
        if most >= C:
            return cls(np.arange(C), "")
        ranks = np.argsort(-examples.astype(np.int64), kind="stable")
        taken = np.sort(ranks[:most])
        why = "the first ones" if taken[-1] == most - 1 else "those with the most examples"
        return cls(taken, f"{most} of {C:,} classes: {why}.")
