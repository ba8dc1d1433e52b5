"""Load a study's champion, which is the model version with the alias `CHAMPION`, from the
registry."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from search.errors import LockstepError
from search.model.inputs import Expected, Features
from search.model.registry import CHAMPION, probability_column, quiet
from search.redact import redacted
from search.spec.study_spec import StudySpec
from search.tracking.registered_model import is_own_version
from search.tracking.tracker import Tracker

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, slots=True)
class Champion:
    """A study's champion: the loaded model, its classes, and the input that it expects.

    run_id: of the run that registered it.
    """

    uri: str
    run_id: str
    class_names: tuple[str, ...]
    expected: Expected
    model: Any

    def probabilities(self, X: Features) -> npt.NDArray[np.float64]:
        """Return the probability of each class, (n, C), for features (n, D)."""
        found = self.model.predict(X)
        return np.stack(
            [found[probability_column(name)].to_numpy(np.float64) for name in self.class_names],
            axis=1,
        )


def load_champion(tracker: Tracker, spec: StudySpec) -> Champion:
    """Load the champion of a study.

    Loading a model runs code from MLflow, which is therefore trusted; a model that the study did
    not register is not loaded. Raises LockstepError if the study has no champion of its own.
    """
    from mlflow.exceptions import MlflowException

    name = spec.name
    try:
        version = tracker.client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        raise LockstepError(
            f"study {name} has no model yet: run `lockstep retrain {spec.argument}` first"
        ) from error
    if not is_own_version(version, tracker.identity):
        raise LockstepError(
            f"the champion of {name} in MLflow at {redacted(tracker.uri)} is version "
            f"{version.version}, which this study did not register: give the alias {CHAMPION} to a "
            "version of the study, or name another --tracking-uri"
        )
    return load_version(tracker, version)


def load_version(tracker: Tracker, version: ModelVersion) -> Champion:
    """Load a version of a study's registered model, which the study must have registered."""
    import mlflow

    name = version.name
    mlflow.set_tracking_uri(tracker.uri)
    # MLflow writes a file beside the model that it loads, and the home may be one to read only.
    with quiet(), tempfile.TemporaryDirectory() as folder:
        model = mlflow.pyfunc.load_model(f"models:/{name}/{version.version}", dst_path=folder)
    known = model.metadata.metadata or {}
    shape = known.get("image_shape")
    loaded = model.unwrap_python_model()
    columns = model.metadata.signature.outputs.input_names()
    prefix = probability_column("")
    is_champion = CHAMPION in (version.aliases or ())
    return Champion(
        uri=f"models:/{name}/{version.version}" + (f" ({CHAMPION})" if is_champion else ""),
        run_id=str(version.run_id),
        class_names=tuple(each.removeprefix(prefix) for each in columns if each != "class"),
        expected=Expected(
            features=len(loaded.W),
            image_shape=None if shape is None else tuple(shape),
            # Models that were registered earlier have no names.
            feature_names=tuple(getattr(loaded, "feature_names", ())),
            source=getattr(loaded, "source", ""),
            **{key: known[key] for key in ("white", "background") if key in known},
        ),
        model=model,
    )
