"""The retrained model in MLflow: logged, registered, given its alias, and read back."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.data import Dataset
from search.errors import LockstepError
from search.tracking import Tracker

CHAMPION = "champion"
EXAMPLES = 5  # rows of the input example
_CODE = Path(__file__).with_name("served_model.py")


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A version in the registry."""

    name: str
    version: int

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells of its progress on standard error, past its own logger, and advises type hints
    that a tensor signature makes moot."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def register_model(
    tracker: Tracker, run_id: str, name: str, weights: npt.NDArray[np.float32], examples: Dataset
) -> RegisteredModel:
    """Log the model (D, C) with the run, register it, move the alias, and check what is read back.

    The model is logged as code with its weights as a plain .npz: loading it needs no pickle.
    Raises LockstepError when the registered model does not predict as the weights do.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    names = examples.class_names
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(weights)))]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "class"),
                *(ColSpec(DataType.float, f"probability_{each}") for each in names),
            ]
        ),
    )
    with tempfile.TemporaryDirectory() as folder, _quiet():
        arrays = Path(folder, "model.npz")
        np.savez(arrays, W=weights, class_names=np.array(names))
        mlflow.set_tracking_uri(tracker.uri)  # models are logged through the global client
        with mlflow.start_run(run_id=run_id):
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(_CODE),
                artifacts={"model": str(arrays)},
                signature=signature,
                input_example=examples.X[:EXAMPLES],
                pip_requirements=[f"{each}=={version(each)}" for each in ("mlflow", "numpy")],
                registered_model_name=name,
            )
    registered = RegisteredModel(name, int(info.registered_model_version))
    tracker.client.set_registered_model_alias(name, CHAMPION, str(registered.version))
    _check(registered, weights, examples)
    return registered


def _check(model: RegisteredModel, weights: npt.NDArray[np.float32], examples: Dataset) -> None:
    import mlflow

    with _quiet():
        loaded = mlflow.pyfunc.load_model(f"models:/{model.name}@{CHAMPION}")
    predicted = loaded.predict(examples.X)["class"].to_numpy()
    expected = np.array(examples.class_names)[(examples.X @ weights).argmax(axis=1)]
    if not np.array_equal(predicted, expected):
        raise LockstepError(
            f"{model.uri} was read back from the registry and predicts otherwise than the weights "
            "that were logged: the artifact store cannot be trusted"
        )
