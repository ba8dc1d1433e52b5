"""The registered model, as MLflow loads and serves it: logged as code, its weights as a plain .npz.

MLflow copies this one file with the model, so it stands alone: NumPy, pandas and mlflow, nothing of
Lockstep, and no pickle.
"""

from __future__ import annotations

from typing import Any

import mlflow.models
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class SoftmaxRegression(PythonModel):
    """Features (n, D), scaled as in training, to the class and the probability of every class."""

    def load_context(self, context: PythonModelContext) -> None:
        with np.load(context.artifacts["model"], allow_pickle=False) as arrays:
            self.W: npt.NDArray[np.float32] = arrays["W"]  # (D, C)
            self.class_names = [str(name) for name in arrays["class_names"]]

    # No type hint on model_input: MLflow would take it for a schema, and the signature is one.
    def predict(  # type: ignore[no-untyped-def]
        self, context: PythonModelContext, model_input, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        X = np.asarray(model_input, dtype=np.float32)
        Z = X @ self.W
        Z -= Z.max(axis=1, keepdims=True)
        P = np.exp(Z)
        P /= P.sum(axis=1, keepdims=True)
        classes = [self.class_names[c] for c in P.argmax(axis=1)]
        columns = {f"probability_{name}": P[:, c] for c, name in enumerate(self.class_names)}
        return pd.DataFrame({"class": classes, **columns})


mlflow.models.set_model(SoftmaxRegression())
