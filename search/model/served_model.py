"""The registered model as MLflow loads and serves it: this code, with the weights in a plain .npz
file.

MLflow copies only this file with the model. So it imports NumPy, pandas and mlflow but nothing of
Lockstep, and it uses no pickle.
"""

from __future__ import annotations

from typing import Any

import mlflow.models
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class SoftmaxRegression(PythonModel):
    """A model that predicts a class and the probability of every class.

    Its input is a matrix of raw features (n, D), which it scales as the training examples were.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights, the biases, the names, and the statistics for scaling."""
        with np.load(context.artifacts["model"], allow_pickle=False) as arrays:
            self.W: npt.NDArray[np.float32] = arrays["W"]  # (D, C)
            self.b: npt.NDArray[np.float32] = arrays["b"]  # (C,)
            self.class_names = [str(name) for name in arrays["class_names"]]
            self.feature_names = [str(name) for name in arrays["feature_names"]]  # D, or none
            self.scale = str(arrays["scale"])  # "none", "standard" or "l2"
            self.mean, self.deviation = arrays["mean"], arrays["deviation"]  # (D,), or (0,)

    def scaled(self, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return raw features, (n, D), scaled: in float64, and then rounded, as in training."""
        exact = X.astype(np.float64)
        if self.scale == "standard":
            exact = (exact - self.mean) / self.deviation
        elif self.scale == "l2":
            length = np.sqrt(np.square(exact).sum(axis=1, keepdims=True))
            exact = exact / np.where(length == 0, 1, length)
        return exact.astype(np.float32)

    # model_input has no type hint: MLflow would take it as a schema, but the signature is one.
    def predict(  # type: ignore[no-untyped-def]
        self, context: PythonModelContext, model_input, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a table of n rows: the predicted class, and the probability of every class."""
        X = np.asarray(model_input, dtype=np.float32)
        Z = self.scaled(X) @ self.W + self.b
        Z -= Z.max(axis=1, keepdims=True)
        P = np.exp(Z)
        P /= P.sum(axis=1, keepdims=True)
        classes = [self.class_names[c] for c in P.argmax(axis=1)]
        columns = {f"probability_{name}": P[:, c] for c, name in enumerate(self.class_names)}
        return pd.DataFrame({"class": classes, **columns})


mlflow.models.set_model(SoftmaxRegression())
