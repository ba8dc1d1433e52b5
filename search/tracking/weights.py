"""Remove the weights from runs that keep their curves only, and put them back."""

from __future__ import annotations

import os

from search.tracking.names import RESULT, WEIGHTS_TAG, Weights
from search.tracking.results import read_result
from search.tracking.run_content import curves_file, result_file
from search.tracking.tracker import Artifact, Tracker
from search.trials.outcome import Outcome


def removable(tracker: Tracker, run_id: str) -> bool:
    """Return whether a recorded trial's run was there when the store was opened, and had weights
    that nobody asked for."""
    known = tracker.known
    return run_id in known.active and known.weights.get(run_id, Weights.KEPT) == Weights.KEPT


def remove_weights(tracker: Tracker, run_id: str) -> None:
    """Remove the weights from a run, whose curves stay.

    The tag is written last, so that one who was killed before it does it again.
    """
    result = read_result(tracker, run_id)
    if result is not None and result.weights is not None:
        _replace(tracker, run_id, curves_file(result.curves))
    tracker.log_values(run_id, metrics={}, tags={WEIGHTS_TAG: Weights.NOT_KEPT.value})


def write_weights(tracker: Tracker, run_id: str, outcome: Outcome, why: Weights) -> None:
    """Put weights that were trained again into a run that has the curves only.

    The tag is written first, so that no run has weights that its tag denies.
    """
    tracker.log_values(run_id, metrics={}, tags={WEIGHTS_TAG: why.value})
    _replace(tracker, run_id, result_file(outcome))


def _replace(tracker: Tracker, run_id: str, content: bytes) -> None:
    """Replace the result of a run, on this machine's disk as a whole or not at all."""
    if not tracker.is_local:
        tracker.log_files(run_id, [Artifact(RESULT, content)])
        return
    # The new file is not among the artifacts before it is whole.
    folder = tracker.run_folder(run_id)
    new = folder / f"{RESULT}.new"
    new.write_bytes(content)
    os.replace(new, folder / "artifacts" / RESULT)
