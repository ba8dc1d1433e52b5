"""What a user of MLflow sees of a study, asked of its tracker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Run

from core.datasets.study_data import StudyData
from search.settings import Settings
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.tracking.store import open_tracker
from search.tracking.tracker import Tracker
from search.tracking.trial_writer import TrialRun, TrialWriter, features_of
from search.trials.identity import Identity
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial

STUDY_ID = "of-the-tests"


def opened(
    spec: StudySpec, settings: Settings, recorded: Mapping[int, str] | None = None
) -> Tracker:
    """A tracker as a launch opens it. recorded: the run ids of the recorded trials, by number."""
    return open_tracker(spec, settings, Identity(STUDY_ID, recorded or {}))


def log_trial(tracker: Tracker, trial: PlannedTrial, outcome: Outcome, data: StudyData) -> str:
    """Write the run of a trial as a launch does, in place of one that a killed driver left."""
    run = TrialRun(trial, outcome, replaces=tracker.known.leftovers.get(trial.number))
    return TrialWriter(tracker, features_of(data)).write(run)


def runs_of(tracker: Tracker, role: str) -> list[Run]:
    """The runs that a user sees."""
    return list(
        tracker.client.search_runs([tracker.experiment_id], f"tags.`lockstep.role` = '{role}'")
    )


def artifact(tracker: Tracker, run_id: str, path: str, folder: Path) -> bytes:
    return Path(tracker.client.download_artifacts(run_id, path, str(folder))).read_bytes()


def planned(spec: StudySpec, number: int) -> PlannedTrial:
    return PlannedTrial(number, grid(spec)[number])
