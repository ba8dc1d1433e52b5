"""Write the run of a trial: its parameters, curves, picture and result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from core.datasets.study_data import StudyData
from core.trainer.result import Status
from search.figures.picture_choice import weight_pictures
from search.figures.weight_pictures import WeightPictures
from search.tracking.broken_answers import again_if_broken_off
from search.tracking.names import (
    DATA_TAG,
    RESULT,
    STATUS_TAG,
    TEMPLATES,
    TRIAL_TAG,
    WEIGHTS_TAG,
    Weights,
)
from search.tracking.run_content import (
    curves_file,
    parameters,
    result_file,
    run_name,
    status_sentence,
    summary_metrics,
)
from search.tracking.tracker import Artifact, Tracker
from search.trials.finished_trial import FinishedTrial
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial

_RUN_STATUS = {Status.COMPLETED: "FINISHED", Status.PRUNED: "KILLED", Status.DIVERGED: "FAILED"}


@dataclass(frozen=True, slots=True)
class Features:
    """What the runs of trials say of a set of features.

    digest: that of the data. pictures: those that fit its weights.
    """

    digest: str
    pictures: WeightPictures


def features_of(data: StudyData) -> dict[str, Features]:
    """Return what runs say of each set of features of a study, by its name."""
    return {
        name: Features(data.of(name).digest, weight_pictures(data.of(name).train))
        for name in data.names
    }


@dataclass(frozen=True, slots=True)
class TrialRun:
    """A run to be written: of which trial, and what its training gave.

    weights: whether the weights are kept, besides the curves.
    replaces: the id of a run of the same trial that is deleted first, if there is one.
    """

    trial: PlannedTrial
    outcome: Outcome
    weights: Weights = Weights.KEPT
    replaces: str | None = None


class TrialWriter:
    """The writer of the runs of a study's trials."""

    def __init__(self, tracker: Tracker, features: Mapping[str, Features]) -> None:
        self._tracker = tracker
        self._features = features

    def write(self, run: TrialRun) -> str:
        """Write the complete run of a trial, and return its id.

        If the server broke off while it was written, it is written again; see `delete_strays`.
        """
        if run.replaces is not None:
            self._tracker.delete_run(run.replaces)
        return again_if_broken_off(lambda: self._write(run))

    def _write(self, run: TrialRun) -> str:
        """Write the complete run of a trial, and return its id."""
        tracker, trial, outcome = self._tracker, run.trial, run.outcome
        result, spread = outcome.result, outcome.spread
        features = self._features[trial.hyperparameters.features]
        tags = {
            DATA_TAG: features.digest,
            TRIAL_TAG: str(trial.number),
            STATUS_TAG: status_sentence(result),
            WEIGHTS_TAG: run.weights.value,
        }
        run_id = tracker.start_run(run_name(trial, tracker.spec, result), "trial", tags)
        summary = FinishedTrial.of(trial.number, result, run_id)
        tracker.log_values(
            run_id,
            curves=result.curves,
            metrics=summary_metrics(summary, tracker.spec) | (asdict(spread) if spread else {}),
            params=parameters(trial.hyperparameters, tracker.spec),
        )
        only_curves = run.weights is Weights.NOT_KEPT
        content = curves_file(result.curves) if only_curves else result_file(outcome)
        files = [
            Artifact(TEMPLATES, features.pictures.one(result.weights)),
            Artifact(RESULT, content),
        ]
        tracker.log_files(run_id, files)
        tracker.end_run(run_id, _RUN_STATUS[result.status])
        return run_id
