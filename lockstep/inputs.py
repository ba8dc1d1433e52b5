"""What the model of a study takes, as its training data were given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class StudyInputs:
    """The inputs of a study's model.

    feature_names: of its D features, if they have names. image_shape: (H, W) or (H, W, 3) of the
    training images, if there were any. white: the feature value of a byte of 255.
    """

    feature_names: tuple[str, ...] = ()
    image_shape: tuple[int, ...] | None = None
    white: float = 1.0

    def rows(self, X: Any) -> Any:
        """Return n examples as rows of features, (n, D): bytes are scaled as in training, images
        are rows, and texts in the columns of a table become the features "column=text".

        Raises LockstepError if a table does not fit.
        """
        if hasattr(X, "columns"):
            return self._of_table(X)
        rows = np.asarray(X)
        if rows.dtype == np.uint8:
            rows = rows * np.float32(self.white / 255)
        if rows.ndim > 2:
            from core.datasets.images import as_rows

            rows = as_rows(rows)
        return rows

    def _of_table(self, frame: Any) -> Any:
        """Return the features in a table with the names of training, in their order."""
        there = set(frame.columns)
        if not self.feature_names or (
            there.isdisjoint(name.partition("=")[0] for name in self.feature_names)
            and there.isdisjoint(self.feature_names)
        ):
            return frame
        import pandas as pd

        from core.datasets.columns import named_features
        from core.datasets.errors import DataError
        from search.errors import LockstepError

        try:
            features = named_features(frame, frame, self.feature_names, "X")
        except DataError as error:
            raise LockstepError(str(error)) from error
        return pd.DataFrame(features, columns=list(self.feature_names))
