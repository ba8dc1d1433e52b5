"""Read weights and curves back from a study's runs, and find runs that still exist."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from core.trainer.result import Curves
from search.tracking.names import RESULT
from search.tracking.tracker import Tracker
from search.trials.finished_trial import FinishedTrial
from search.trials.results import Result

if TYPE_CHECKING:
    from mlflow.entities import Run

READERS = 8  # at the same time from a server; a local disk is faster with one


def read_results(tracker: Tracker, trials: Sequence[FinishedTrial]) -> list[Result | None]:
    """Return the results of these trials in their order; None for a run that has lost its own."""

    def read(trial: FinishedTrial) -> Result | None:
        return read_result(tracker, trial.run_id)

    if tracker.is_local:
        return list(map(read, trials))
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, trials))


def read_result(tracker: Tracker, run_id: str) -> Result | None:
    """Return a run's result, or None if its files were deleted. Raises OSError if they cannot be
    read.

    The path is built from the address of the study's artifacts, because asking MLflow for it takes
    ten milliseconds per run, which is thirty times as long as reading the result.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with contextlib.ExitStack() as stack:
        try:
            if tracker.is_local:
                path = str(tracker.run_folder(run_id) / "artifacts" / RESULT)
            else:
                file = f"{tracker.artifacts}/{run_id}/artifacts/{RESULT}"
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                path = download_artifacts(file, dst_path=folder, tracking_uri=tracker.uri)
            arrays = stack.enter_context(np.load(path, allow_pickle=False))
        except (MlflowException, BadZipFile):  # a server may have been killed while it wrote
            return None
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, None):  # MLflow's own has no number
                return None
            raise  # it is there, and cannot be read
        curves = Curves(**{name: arrays[name] for name in Curves.known() if name in arrays})
        if "W" not in arrays:
            return Result(None, None, curves)
        W = arrays["W"]
        # Runs of older studies, which had no biases, do not have this array.
        bias = arrays["b"] if "b" in arrays else np.zeros(W.shape[1], W.dtype)
        folds = zip(arrays["fold_W"], arrays["fold_b"], strict=True) if "fold_W" in arrays else ()
        return Result(W, bias, curves, tuple(folds))


def present(tracker: Tracker, trials: Sequence[FinishedTrial], most: int) -> list[FinishedTrial]:
    """Return the first ``most`` of these trials whose runs are in the study's experiment, and not
    deleted there."""
    found: list[FinishedTrial] = []
    for start in range(0, len(trials), max(most, 1)):
        if len(found) == most:
            break
        some = trials[start : start + most]
        runs = runs_by_id(tracker, [trial.run_id for trial in some])
        found += [trial for trial in some if trial.run_id in runs]
    return found[:most]


def runs_by_id(tracker: Tracker, run_ids: Sequence[str]) -> dict[str, Run]:
    """Return those of these runs that are in the study's experiment, and not deleted there."""
    if not run_ids:
        return {}
    listed = ", ".join(f"'{run_id}'" for run_id in run_ids)
    found = tracker.client.search_runs(
        [tracker.experiment_id], f"attributes.run_id IN ({listed})", max_results=len(run_ids)
    )
    return {run.info.run_id: run for run in found}
