"""Register the retrained model in MLflow, check it, and decide whether it becomes the champion."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets.dataset import Dataset
from core.datasets.file_rows import FileRows
from core.datasets.splits import Merged
from core.trainer.result import TrainingResult
from core.trainer.softmax import logits, predictions
from search.errors import LockstepError
from search.model.inputs import edge_of
from search.spec.feature_files import NamedFeatures
from search.spec.objective import Objective
from search.tracking.names import (
    DATA_TAG,
    FEATURES_FILE_TAG,
    FEATURES_TAG,
    SCORE_TAG,
    TRIAL_TAG,
)
from search.tracking.owner import owner_tags
from search.tracking.registered_model import claim_registered_model, is_own_version
from search.tracking.tracker import Tracker
from search.trials.identity import Identity

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
EXAMPLES = 5  # rows of the input example
BACKGROUND = 100_000  # rows whose edges are looked at, if they are images
CHECKED = 1000  # rows that are predicted again to check the registered model
_CODE = Path(__file__).with_name("served_model.py")


@dataclass(frozen=True, slots=True)
class Validated:
    """The validation scores of the configuration that a model was trained with.

    earlier_digests: of the data before sets of features were added: the examples are the same.
    """

    trial: int
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float | None
    objective: Objective
    data_digest: str
    earlier_digests: frozenset[str] = frozenset()

    def tags(self) -> dict[str, str]:
        """Return the tags of the model version, with which the next model is compared."""
        balanced = self.val_balanced_accuracy
        own = (
            {} if balanced is None else {SCORE_TAG.format("val_balanced_accuracy"): repr(balanced)}
        )
        return own | {
            TRIAL_TAG: str(self.trial),
            SCORE_TAG.format("val_loss"): repr(self.val_loss),
            SCORE_TAG.format("val_accuracy"): repr(self.val_accuracy),
            DATA_TAG: self.data_digest,
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model that is to be registered, and may become the champion.

    result: its weights are (D, C), its biases (C,).
    data: what it was trained on, as the features are and as they were scaled.
    validated: the validation scores by which it is compared with the present champion.
    features: the set of features that the model takes, None if the study has only one.
    """

    result: TrainingResult
    data: Merged
    validated: Validated
    features: NamedFeatures | None = None


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model version in the registry.

    reason: why it is the champion, or why it is not.
    """

    name: str
    version: int
    is_champion: bool
    reason: str

    @property
    def uri(self) -> str:
        """The address of the version for MLflow."""
        return f"models:/{self.name}/{self.version}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow's messages on standard error, and all warnings.

    MLflow shows progress without using its own logger. It also warns of missing type hints, which a
    model with a tensor signature does not need.
    """
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def register_model(
    tracker: Tracker, run_id: str, name: str, candidate: Candidate
) -> RegisteredModel:
    """Log a model with the run, register it, check it after reading it back, and make it the
    champion unless it is worse on validation than the present one.

    The model takes raw features, and scales them itself. It is logged as code, with its weights in
    a plain .npz file, so that loading it needs no pickle. Raises LockstepError if the registered
    model does not predict the same as the weights, or if one of this name is somebody else's.
    """
    import mlflow

    client, identity = tracker.client, tracker.identity
    claim_registered_model(client, name, tracker.settings, identity)
    examples = candidate.data.raw
    with tempfile.TemporaryDirectory() as folder, quiet():
        arrays = Path(folder, "model.npz")
        _save(candidate, arrays)
        mlflow.set_tracking_uri(tracker.uri)  # models are logged through the global client
        with mlflow.start_run(run_id=run_id, nested=True):  # within a run of the caller's, too
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(_CODE),
                artifacts={"model": str(arrays)},
                signature=_signature(examples.class_names),
                input_example=_example(examples),
                pip_requirements=[f"{p}=={version(p)}" for p in ("mlflow", "numpy", "pandas")],
                registered_model_name=name,
                metadata=_metadata(examples) | _features_metadata(candidate.features),
            )
    number = str(info.registered_model_version)
    _check(f"models:/{name}/{number}", candidate)
    tags = candidate.validated.tags() | _features_tags(candidate.features)
    for key, value in {**owner_tags(identity), **tags}.items():
        client.set_model_version_tag(name, number, key, value)
    is_champion, reason = _succession(client, name, candidate.validated, identity)
    if is_champion:
        client.set_registered_model_alias(name, CHAMPION, number)
    return RegisteredModel(name, int(number), is_champion, reason)


def _save(candidate: Candidate, file: Path) -> None:
    """Write the arrays of a model to an .npz file."""
    result, scaling, examples = candidate.result, candidate.data.scaling, candidate.data.raw
    np.savez(
        file,
        W=result.weights,
        b=result.bias,
        class_names=np.array(examples.class_names),
        feature_names=np.array(examples.feature_names or (), dtype=str),
        features=np.array("" if candidate.features is None else str(candidate.features)),
        scale=np.array(scaling.scale.value),
        mean=scaling.mean,
        deviation=scaling.deviation,
    )


def _signature(names: tuple[str, ...]) -> Any:
    """Return the model's signature, which says what comes out: the class and its probabilities.

    What goes in the model checks itself. With a schema of a matrix, MLflow would drop the names of
    a table's columns and go by their order, and would refuse every .csv; with one of columns it
    would refuse a matrix. Neither would say which row is wrong.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    probabilities = [ColSpec(DataType.double, probability_column(each)) for each in names]
    return ModelSignature(outputs=Schema([ColSpec(DataType.string, "class"), *probabilities]))


def _example(examples: Dataset) -> Any:
    """Return some examples as input: a table if the features have names, otherwise a matrix."""
    import pandas as pd

    X = examples.X[:EXAMPLES]
    if examples.feature_names is None:
        return X
    return pd.DataFrame(X, columns=list(examples.feature_names))


def _metadata(examples: Dataset) -> dict[str, Any]:
    """Return what is needed to scale a picture like the training images; empty without images."""
    shape = examples.image_shape
    if shape is None:
        return {}
    return {
        "image_shape": list(shape),
        # Bytes were scaled to [0, 1] in training, and other data were left as they are.
        "white": max(1.0, _largest(examples)),
        "background": float(np.median(examples.X[:BACKGROUND][:, edge_of(shape)])),
    }


def _largest(examples: Dataset) -> float:
    """Return the largest value of a feature."""
    X = examples.X
    if isinstance(X, FileRows):
        return float(X.statistics.high.max()) if X.statistics else float(X[:BACKGROUND].max())
    return float(X.max())


def _features_metadata(features: NamedFeatures | None) -> dict[str, str]:
    """Return the metadata that say which features the model takes; empty if there is one set."""
    return {} if features is None else {"features": features.name, "features_file": features.file}


def _features_tags(features: NamedFeatures | None) -> dict[str, str]:
    """Return the tags of the version that say which features the model takes."""
    if features is None:
        return {}
    return {FEATURES_TAG: features.name, FEATURES_FILE_TAG: features.file}


def probability_column(class_name: str) -> str:
    """Return the name of the output column with a class's probability."""
    return f"probability_{class_name}"


def _succession(
    client: MlflowClient, name: str, new: Validated, identity: Identity
) -> tuple[bool, str]:
    """Return whether the new model replaces the present champion, and why."""
    from mlflow.exceptions import MlflowException

    try:
        present = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        return True, "champion, the first one"
    tags: Mapping[str, str] = present.tags
    which = f"version {present.version} stays champion"
    if not is_own_version(present, identity):
        return False, f"{which}: somebody else registered it and made it the champion"
    if tags.get(DATA_TAG) not in {new.data_digest, *new.earlier_digests}:
        return False, f"{which}: it was validated on other data, so that the two do not compare"
    objective = new.objective
    if SCORE_TAG.format(objective.value) not in tags:
        return False, f"{which}: it was chosen by another score, so that the two do not compare"
    old, value = float(tags[SCORE_TAG.format(objective.value)]), objective.of(new)
    name = objective.value.replace("_", " ")
    if objective.badness(value) > objective.badness(old):
        return False, f"{which}, as it is better on validation ({name} {old:.5g}, this one "\
            f"{value:.5g})"  # fmt: skip
    word = "as good as" if value == old else "better than"
    return True, (
        f"champion, {word} version {present.version} on validation ({name} {value:.5g}, "
        f"before {old:.5g})"
    )


def _check(uri: str, candidate: Candidate) -> None:
    """Raise LockstepError if the registered model does not predict the same as the weights."""
    import mlflow

    examples, X = candidate.data.train, candidate.data.raw.X[:CHECKED]
    with quiet():
        loaded = mlflow.pyfunc.load_model(uri)
    predicted = loaded.predict(X)["class"].to_numpy()
    Z = logits(examples.X[:CHECKED], candidate.result.weights, candidate.result.bias)
    expected = np.array(examples.class_names)[predictions(Z)]
    if not np.array_equal(predicted, expected):
        raise LockstepError(
            f"{uri} was read back from the registry and predicts otherwise than the weights "
            "that were logged: the artifact store cannot be trusted"
        )
