"""Reading back what a study's runs keep: weights, curves, and whether they are still there."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from core.trainer.result import Curves
from search.errors import LockstepError
from search.tracking.tracker import RESULT, Tracker
from search.trials.finished_trial import FinishedTrial


class MissingResultError(LockstepError):
    """A run without its weights and curves: the store was cleaned, or a file deleted by hand."""


def read_result(tracker: Tracker, run_id: str) -> tuple[npt.NDArray[np.float32], Curves]:
    """A trial's weights, (D, C), and its curves, every epoch of them.

    Read at the address that MLflow gives a run's files: asking for it costs ten milliseconds a run,
    thirty times the reading. Raises MissingResultError.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    file = f"{tracker.artifacts}/{run_id}/artifacts/{RESULT}"
    with contextlib.ExitStack() as stack:
        # What lies on this machine is read where it is.
        folder = None if is_local(tracker) else stack.enter_context(tempfile.TemporaryDirectory())
        try:
            path = download_artifacts(file, dst_path=folder, tracking_uri=tracker.uri)
            arrays = stack.enter_context(np.load(path, allow_pickle=False))
        except (OSError, MlflowException) as error:
            raise MissingResultError(f"MLflow run {run_id} has no {RESULT}") from error
        return arrays["W"], Curves(**{name: arrays[name] for name in Curves.names()})


def is_local(tracker: Tracker) -> bool:
    """Whether the runs' files lie on this machine's disk."""
    return tracker.artifacts.startswith(("file:", "/"))


def present(tracker: Tracker, trials: Sequence[FinishedTrial], most: int) -> list[FinishedTrial]:
    """The first of these trials whose runs nobody has deleted in MLflow."""
    from mlflow.exceptions import MlflowException

    found: list[FinishedTrial] = []
    for trial in trials:
        if len(found) == most:
            break
        with contextlib.suppress(MlflowException):  # deleted for good
            if tracker.client.get_run(trial.run_id).info.lifecycle_stage == "active":
                found.append(trial)
    return found
