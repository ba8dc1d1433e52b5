"""The examples of a source as they were loaded, in the parts that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from core.datasets.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Loaded:
    """The examples of a source; a part that it has not is None.

    groups: the groups of the examples in ``train``, (N,) integers or strings, if there are any.
    """

    train: Dataset
    validation: Dataset | None = None
    test: Dataset | None = None
    groups: npt.NDArray[Any] | None = None
