"""Write a study's runs to MLflow: one parent run for the study, and one child run for each trial.

Optuna's storage decides what is run. MLflow is only written, and read back for figures and models.
mlflow is imported inside functions, because the import takes a second.
"""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets.dataset import Dataset
from core.datasets.splits import Splits
from core.trainer.result import Curves, Hyperparameters, Status, TrainingResult
from search.figures import templates
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.names import (
    NOTE_TAG,
    PARENT_TAG,
    RANKED_METRIC,
    RESULT,
    ROLE_TAG,
    SOURCE_TAG,
    STATUS_TAG,
    SUMMARY_METRICS,
    TEMPLATES,
    TRIAL_TAG,
)
from search.trials.finished_trial import FinishedTrial
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric

MAX_METRICS = 1000  # the most that MLflow takes in one log_batch

_RUN_STATUS = {Status.COMPLETED: "FINISHED", Status.PRUNED: "KILLED", Status.DIVERGED: "FAILED"}


def run_name(trial: PlannedTrial, result: TrainingResult | None = None) -> str:
    """Return a run's name for a list of runs: the trial's number and its hyperparameters.

    If the trial did not complete, how it ended stands between them, where a narrow column still
    shows it.
    """
    tried = trial.hyperparameters
    ended = ""
    if result is not None and result.status is not Status.COMPLETED:
        ended = f" {result.status.name.lower()}, epoch {result.stopped_epoch}:"
    return (
        f"#{trial.number}{ended} lr {tried.learning_rate:.3g} wd {tried.weight_decay:.3g}"
        f" B {tried.batch_size}"
    )


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to be logged with a run: its path there and its content."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study's runs are.

    artifacts: the address of a folder that holds one folder per run.
    source: the command that writes, as the UI shows it.
    """

    experiment_id: str
    artifacts: str
    parent_run_id: str
    source: str


@dataclass(frozen=True, slots=True)
class KnownRuns:
    """The runs of trials that existed when the store was opened.

    active: ids of runs whose trials are recorded.
    leftovers: runs, by trial number, that a killed driver wrote and did not record; they are
        replaced.
    """

    active: frozenset[str] = frozenset()
    leftovers: Mapping[int, str] = field(default_factory=dict)


class Tracker:
    """The writer of one study's runs. It passes run ids explicitly and needs no global state."""

    def __init__(
        self,
        client: MlflowClient,
        spec: StudySpec,
        settings: Settings,
        place: Place,
        known: KnownRuns,
    ) -> None:
        self.client = client
        self.uri = settings.mlflow_uri
        self.artifacts = place.artifacts
        self.experiment_id = place.experiment_id
        self.parent_run_id = place.parent_run_id
        self.known = known
        self._every_epoch = settings.every_epoch
        self._spec = spec
        self._source = place.source
        self._datasets: list[DatasetInput] = []

    @property
    def is_local(self) -> bool:
        """Whether the runs' files are on this machine's disk."""
        return self.artifacts.startswith(("file:", "/"))

    # -- trials --------------------------------------------------------------------------------

    def log_trial(
        self, trial: PlannedTrial, outcome: Outcome, data: Splits, replaces: str | None = None
    ) -> str:
        """Write the complete run of a trial, and return its id.

        replaces: a run of the same trial to be deleted first; by default, the one that a killed
        driver left, if there is one.
        """
        replaced = replaces or self.known.leftovers.get(trial.number)
        if replaced is not None:
            self.client.delete_run(replaced)
        result, spread = outcome.result, outcome.spread
        tags = {TRIAL_TAG: str(trial.number), STATUS_TAG: _status_sentence(result)}
        run_id = self.start_run(run_name(trial, result), "trial", tags)
        summary = FinishedTrial.of(trial.number, result, run_id)
        self.log_values(
            run_id,
            curves=result.curves,
            metrics=_summary_metrics(summary, self._spec) | (asdict(spread) if spread else {}),
            params=_parameters(trial.hyperparameters, self._spec),
        )
        self.client.log_inputs(run_id, self._dataset_inputs(data))
        classes, shape = data.train.class_names, data.train.image_shape
        self.log_files(
            run_id,
            [
                Artifact(TEMPLATES, templates.templates(result.weights, classes, shape)),
                Artifact(RESULT, _npz(result)),
            ],
        )
        self.client.set_terminated(run_id, _RUN_STATUS[result.status])
        return run_id

    def log_study_data(self, data: Splits) -> None:
        """Log the data that the study uses, unless it is already logged."""
        self.client.log_inputs(self.parent_run_id, self._dataset_inputs(data))

    def log_dataset(self, run_id: str, context: str, data: Dataset) -> None:
        """Log a dataset that a run uses; context: its purpose in a word or two."""
        self.client.log_inputs(run_id, [_dataset_input(self._spec, context, data)])

    # -- any run -------------------------------------------------------------------------------

    def start_run(self, name: str, role: str, tags: Mapping[str, str]) -> str:
        """Create a run below the parent run, and return its id."""
        run = self.client.create_run(
            self.experiment_id,
            run_name=name,
            tags={
                PARENT_TAG: self.parent_run_id,
                SOURCE_TAG: self._source,
                ROLE_TAG: role,
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
        points = [] if curves is None else _curve_points(curves, now, self._every_epoch)
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

    def _dataset_inputs(self, data: Splits) -> list[DatasetInput]:
        """Return the training and validation data as MLflow's inputs, which are built only once."""
        if not self._datasets:
            self._datasets = [
                _dataset_input(self._spec, "train", data.train),
                _dataset_input(self._spec, "validation", data.validation),
            ]
        return self._datasets

    # -- the parent run ------------------------------------------------------------------------

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


def logged_epochs(n_epochs: int, every: bool) -> list[int]:
    """Return the epochs, counted from 0, whose values become MLflow metrics.

    These are the first ten, then every fifth, and the last; with ``every``, all of them. Points
    take most of the time of logging, and `RESULT` has the values of every epoch in any case.
    """
    last = n_epochs - 1
    return [e for e in range(n_epochs) if every or e < 10 or (e + 1) % 5 == 0 or e == last]


def _curve_points(curves: Curves, now: int, every_epoch: bool) -> list[Metric]:
    """Return the finite values of the curves as metrics, with epochs from 1 as steps."""
    from mlflow.entities import Metric

    return [
        Metric(name, float(values[epoch]), now, epoch + 1)
        for name in Curves.names()
        for values in [getattr(curves, name)]
        for epoch in logged_epochs(len(values), every_epoch)
        if math.isfinite(values[epoch])
    ]


def _summary_metrics(trial: FinishedTrial, spec: StudySpec) -> dict[str, float]:
    """Return the finite metrics that summarise a trial, by name."""
    metrics = {name: float(getattr(trial, name)) for name in SUMMARY_METRICS}
    if trial.status is Status.COMPLETED:
        metrics[RANKED_METRIC] = spec.search.objective.of(trial)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _parameters(tried: Hyperparameters, spec: StudySpec) -> dict[str, Any]:
    """Return a run's parameters: hyperparameters, their logarithms, and the model's settings.

    The logarithms are there because the axes of the UI's parallel coordinates are linear.
    """
    logarithms = {
        f"log10_{name}": f"{math.log10(value):.4f}"
        for name in ("learning_rate", "weight_decay")
        for value in [getattr(tried, name)]
        if value > 0
    }
    return {**asdict(tried), **logarithms, **spec.model.model_dump(mode="json")}


def _status_sentence(result: TrainingResult) -> str:
    """Return how a trial ended, with the epoch if it did not complete."""
    stopped = "" if result.status is Status.COMPLETED else f" (epoch {result.stopped_epoch})"
    return f"{result.status.value}{stopped}"


def _npz(result: TrainingResult) -> bytes:
    """Return weights and curves as the content of an .npz file."""
    buffer = BytesIO()
    curves = {name: getattr(result.curves, name) for name in Curves.names()}
    np.savez(buffer, W=result.weights, **curves)
    return buffer.getvalue()


def _dataset_input(spec: StudySpec, context: str, data: Dataset) -> DatasetInput:
    """Return a dataset as MLflow logs it: its name, digest, source and size."""
    from mlflow.entities import Dataset as LoggedDataset
    from mlflow.entities import DatasetInput, InputTag

    profile = {"rows": len(data.y), "features": data.X.shape[1], "classes": data.class_names}
    return DatasetInput(
        LoggedDataset(
            name=f"{spec.name} {context}",
            digest=data.digest[:36],
            source_type="local",
            source=json.dumps({"source": spec.data.source, "sha256": data.digest}),
            profile=json.dumps(profile),
        ),
        [InputTag("mlflow.data.context", context)],
    )
