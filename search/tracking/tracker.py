"""Write a study's runs to MLflow: one parent run for the study, and one child run for each trial.

Optuna's storage decides what is run. MLflow is only written, and read back for figures and models.
mlflow is imported inside functions, because the import takes a second.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.dataset import Dataset
from core.datasets.study_data import ONLY, StudyData
from core.trainer.result import Curves, Status
from search.figures.picture_choice import weight_pictures
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.broken_answers import again_if_broken_off
from search.tracking.names import (
    NOTE_TAG,
    PARENT_TAG,
    RESULT,
    ROLE_TAG,
    SOURCE_TAG,
    STATUS_TAG,
    TEMPLATES,
    TRIAL_TAG,
    WEIGHTS_TAG,
    Weights,
)
from search.tracking.owner import owner_tags
from search.tracking.run_content import (
    curve_points,
    curves_file,
    dataset_input,
    parameters,
    result_file,
    run_name,
    status_sentence,
    summary_metrics,
)
from search.trials.finished_trial import FinishedTrial
from search.trials.identity import Identity
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

MAX_METRICS = 1000  # the most that MLflow takes in one log_batch

_RUN_STATUS = {Status.COMPLETED: "FINISHED", Status.PRUNED: "KILLED", Status.DIVERGED: "FAILED"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to be logged with a run: its path there and its content."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class RunLocation:
    """The location of a study's runs in MLflow.

    artifacts: the address of a folder that holds one folder per run.
    source: the command that writes, as the UI shows it.
    identity: the study's.
    """

    experiment_id: str
    artifacts: str
    parent_run_id: str
    source: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class KnownRuns:
    """The runs of trials that existed when the store was opened.

    active: ids of runs whose trials are recorded.
    leftovers: runs, by trial number, that a killed driver wrote and did not record; they are
        replaced.
    weights: what the tags of runs say about their weights, by run id (see `Weights`).
    """

    active: frozenset[str] = frozenset()
    leftovers: Mapping[int, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)


class Tracker:
    """The writer of one study's runs. It passes run ids explicitly and needs no global state."""

    def __init__(
        self,
        client: MlflowClient,
        spec: StudySpec,
        settings: Settings,
        location: RunLocation,
        known: KnownRuns,
    ) -> None:
        self.client = client
        self.settings = settings
        self.uri = settings.mlflow_uri
        self.artifacts = location.artifacts
        self.experiment_id = location.experiment_id
        self.parent_run_id = location.parent_run_id
        self.identity = location.identity
        self.known = known
        self._spec = spec
        self._source = location.source
        self._own = owner_tags(location.identity)
        self._datasets: dict[str, list[DatasetInput]] = {}  # by set of features

    @property
    def is_local(self) -> bool:
        """Whether the runs' files are on this machine's disk."""
        return self.artifacts.startswith(("file:", "/"))

    # Trials

    def log_trial(
        self,
        trial: PlannedTrial,
        outcome: Outcome,
        data: StudyData,
        replaces: str | None = None,
        *,
        weights: Weights = Weights.KEPT,
    ) -> str:
        """Write the complete run of a trial, and return its id.

        weights: whether its weights are kept, besides its curves.
        replaces: a run of the same trial to be deleted first; by default, the one that a killed
        driver left, if there is one.

        If the server broke off while it was written, it is written again; see `delete_strays`.
        """
        replaced = replaces or self.known.leftovers.get(trial.number)
        if replaced is not None:
            self.client.delete_run(replaced)
        return again_if_broken_off(lambda: self._write_trial(trial, outcome, data, weights))

    def _write_trial(
        self, trial: PlannedTrial, outcome: Outcome, data: StudyData, weights: Weights
    ) -> str:
        """Write the complete run of a trial, and return its id."""
        result, spread = outcome.result, outcome.spread
        tags = {
            TRIAL_TAG: str(trial.number),
            STATUS_TAG: status_sentence(result),
            WEIGHTS_TAG: weights.value,
        }
        run_id = self.start_run(run_name(trial, self._spec, result), "trial", tags)
        summary = FinishedTrial.of(trial.number, result, run_id)
        self.log_values(
            run_id,
            curves=result.curves,
            metrics=summary_metrics(summary, self._spec) | (asdict(spread) if spread else {}),
            params=parameters(trial.hyperparameters, self._spec),
        )
        self.client.log_inputs(run_id, self._dataset_inputs(data, trial.hyperparameters.features))
        pictures = weight_pictures(data.of(trial.hyperparameters.features).train)
        only_curves = weights is Weights.NOT_KEPT
        content = curves_file(result.curves) if only_curves else result_file(outcome)
        files = [Artifact(TEMPLATES, pictures.one(result.weights)), Artifact(RESULT, content)]
        self.log_files(run_id, files)
        self.client.set_terminated(run_id, _RUN_STATUS[result.status])
        return run_id

    def log_study_data(self, data: StudyData) -> None:
        """Log the data that the study uses, unless it is already logged."""
        for features in data.names:
            self.client.log_inputs(self.parent_run_id, self._dataset_inputs(data, features))

    def log_dataset(self, run_id: str, context: str, data: Dataset, features: str = ONLY) -> None:
        """Log a dataset that a run uses; context: its purpose in a word or two; features: the name
        of its set of features."""
        self.client.log_inputs(run_id, [dataset_input(self._spec, context, data, features)])

    # Any run

    def start_run(self, name: str, role: str, tags: Mapping[str, str]) -> str:
        """Create a run below the parent run, and return its id."""
        run = self.client.create_run(
            self.experiment_id,
            run_name=name,
            tags={
                PARENT_TAG: self.parent_run_id,
                SOURCE_TAG: self._source,
                ROLE_TAG: role,
                **self._own,
                **tags,
            },
        )
        return str(run.info.run_id)

    @contextlib.contextmanager
    def run(self, name: str, role: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Create a run that is FINISHED after the ``with`` block, or FAILED if the block raises."""
        run_id = self.start_run(name, role, tags)
        try:
            yield run_id
        except BaseException:
            self.client.set_terminated(run_id, "FAILED")
            raise
        self.client.set_terminated(run_id, "FINISHED")

    def log_values(
        self,
        run_id: str,
        *,
        curves: Curves | None = None,
        metrics: Mapping[str, float],
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log curves, metrics, parameters and tags in as few calls as MLflow allows."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [] if curves is None else curve_points(curves, now, self.settings.every_epoch)
        points += [Metric(key, value, now, 0) for key, value in metrics.items()]
        for start in range(0, max(len(points), 1), MAX_METRICS):
            first = start == 0
            self.client.log_batch(
                run_id,
                metrics=points[start : start + MAX_METRICS],
                params=[Param(key, str(value)) for key, value in (params or {}).items()] * first,
                tags=[RunTag(key, value) for key, value in (tags or {}).items()] * first,
                synchronous=True,
            )

    def log_files(self, run_id: str, files: Sequence[Artifact]) -> None:
        """Log these files with a run."""
        with tempfile.TemporaryDirectory() as folder:
            for file in files:
                path = Path(folder, file.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
            self.client.log_artifacts(run_id, folder)

    def _dataset_inputs(self, data: StudyData, features: str) -> list[DatasetInput]:
        """Return the training and validation data of a set of features as MLflow's inputs, which
        are built only once."""
        if features not in self._datasets:
            splits = data.of(features)
            self._datasets[features] = [
                dataset_input(self._spec, "train", splits.train, features),
                dataset_input(self._spec, "validation", splits.validation, features),
            ]
        return self._datasets[features]

    # The parent run

    def finish(
        self,
        note: str,
        figures: Sequence[Artifact],
        metrics: Mapping[str, float],
        status: str = "FINISHED",
    ) -> None:
        """Write the study's description, figures and metrics, and end the parent run."""
        self.log_files(self.parent_run_id, figures)
        self.log_values(self.parent_run_id, metrics=metrics, tags={NOTE_TAG: note})
        self.client.set_terminated(self.parent_run_id, status)

    def stop(self) -> None:
        """End the parent run of a study that is to be continued later."""
        self.client.set_terminated(self.parent_run_id, "KILLED")
