"""The MLflow mirror of a study: one parent run, one child run a trial.

Optuna's storage decides what is run; MLflow is only written, and read back for pictures. This is
the only file that imports mlflow, and it does so inside functions, because that takes a second.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from core.data import Dataset, Splits
from core.result import Curves, Status, TrainingResult
from search import images
from search.errors import LockstepError
from search.plan import PlannedTrial
from search.settings import Settings, redacted
from search.spec import StudySpec
from search.study import FinishedTrial

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run

MAX_METRICS = 1000  # of MLflow, in one log_batch
MAX_PARAMETER = 6000  # characters of MLflow, in one parameter
TEMPLATES = "templates.png"  # the same path in every run: that is what Compare shows side by side
WEIGHTS = "weights.npy"

ROLE_TAG = "lockstep.role"
TRIAL_TAG = "lockstep.trial"
STATUS_TAG = "lockstep.status"
IMAGES_TAG = "lockstep.weight_images"

_RUN_STATUS = {Status.COMPLETED: "FINISHED", Status.PRUNED: "KILLED", Status.DIVERGED: "FAILED"}


def run_name(trial: PlannedTrial) -> str:
    """Readable in a list of runs: number and hyperparameters."""
    tried = trial.hyperparameters
    return (
        f"#{trial.number} · lr {tried.learning_rate:.3g} · wd {tried.weight_decay:.3g}"
        f" · batch {tried.batch_size}"
    )


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to be logged with a run: its path there and its content."""

    path: str
    content: bytes


class Tracker:
    """Writes one study's runs with explicit run ids: no active run, no global state."""

    def __init__(
        self, client: MlflowClient, settings: Settings, experiment_id: str, parent_run_id: str
    ) -> None:
        self.client = client
        self.settings = settings
        self.experiment_id = experiment_id
        self.parent_run_id = parent_run_id
        self.uri = redacted(settings.mlflow_uri)
        self._unfinished: dict[int, str] = {}
        self._datasets: list[DatasetInput] = []

    # -- trials --------------------------------------------------------------------------------

    def log_trial(
        self, spec: StudySpec, trial: PlannedTrial, result: TrainingResult, data: Splits
    ) -> str:
        """Write a trial's run, whole; returns its id.

        A run of the same trial that a killed driver left behind is replaced.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        leftover = self._unfinished.pop(trial.number, None)
        if leftover is not None:
            self.client.delete_run(leftover)
        run_id = str(
            self.client.create_run(
                self.experiment_id,
                start_time=now,
                run_name=run_name(trial),
                tags={
                    "mlflow.parentRunId": self.parent_run_id,
                    "mlflow.source.name": "lockstep launch",
                    ROLE_TAG: "trial",
                    TRIAL_TAG: str(trial.number),
                },
            ).info.run_id
        )
        summary = FinishedTrial.of(trial.number, result, run_id)
        metrics = _curve_metrics(result.curves, now)
        metrics += [Metric(key, value, now, 0) for key, value in _summary_metrics(summary).items()]
        tried = {**asdict(trial.hyperparameters), **spec.model.model_dump(mode="json")}
        self._log_batches(
            run_id,
            metrics,
            params=[Param(key, repr(value).strip("'")) for key, value in tried.items()],
            tags=[RunTag(STATUS_TAG, _status_sentence(result))],
        )
        self.client.log_inputs(run_id, self._dataset_inputs(spec, data))
        classes, shape = data.train.class_names, data.train.image_shape
        self.log_files(
            run_id,
            [
                Artifact(TEMPLATES, images.templates(result.weights, classes, shape)),
                Artifact(WEIGHTS, _npy(result.weights)),
            ],
        )
        self.client.set_terminated(run_id, _RUN_STATUS[result.status])
        return run_id

    def log_weight_images(self, trial: FinishedTrial, data: Splits, scale: float) -> None:
        """The form of the weight images that the UI's chart view shows as a grid."""
        run = self.client.get_run(trial.run_id)
        if IMAGES_TAG in run.data.tags:
            return
        weights = self.weights(trial.run_id)
        for c, name in enumerate(data.train.class_names):
            image = images.class_image(weights[:, c], data.train.image_shape, scale)
            self.client.log_image(
                trial.run_id, image, key=f"weights/{name}", step=0, synchronous=True
            )
        self.client.set_tag(trial.run_id, IMAGES_TAG, repr(scale))

    def _log_batches(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Any], tags: Sequence[Any]
    ) -> None:
        for start in range(0, max(len(metrics), 1), MAX_METRICS):
            self.client.log_batch(
                run_id,
                metrics=metrics[start : start + MAX_METRICS],
                params=params if start == 0 else (),
                tags=tags if start == 0 else (),
                synchronous=True,
            )

    def log_files(self, run_id: str, files: Sequence[Artifact]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for file in files:
                path = Path(folder, file.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
            self.client.log_artifacts(run_id, folder)

    def _dataset_inputs(self, spec: StudySpec, data: Splits) -> list[DatasetInput]:
        if not self._datasets:
            self._datasets = [
                _dataset_input(spec, "train", data.train),
                _dataset_input(spec, "validation", data.validation),
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
        """Write the study's description and figures, and end the parent run."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        self.log_files(self.parent_run_id, figures)
        self.client.log_batch(
            self.parent_run_id,
            metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
            tags=[RunTag("mlflow.note.content", note)],
        )
        self.client.set_terminated(self.parent_run_id, status)

    def stop(self) -> None:
        """End the parent run of a study that is to be continued."""
        self.client.set_terminated(self.parent_run_id, "KILLED")

    # -- reading back --------------------------------------------------------------------------

    def weights(self, run_id: str) -> npt.NDArray[np.float32]:
        """A trial's weights, (D, C)."""
        with tempfile.TemporaryDirectory() as folder:
            path = self.client.download_artifacts(run_id, WEIGHTS, folder)
            weights: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
        return weights

    def curves(
        self, run_id: str
    ) -> dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]]:
        """A trial's curves: epochs and values by name."""

        def curve(name: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
            points = sorted(
                (metric.step, metric.value)
                for metric in self.client.get_metric_history(run_id, name)
            )
            return (
                np.array([step for step, _ in points], np.intp),
                np.array([value for _, value in points], np.float64),
            )

        return {name: curve(name) for name in Curves.names()}

    # -- links ---------------------------------------------------------------------------------

    def run_url(self, run_id: str) -> str:
        return f"{self.settings.ui_address}/#/experiments/{self.experiment_id}/runs/{run_id}"

    def compare_url(self, run_ids: Sequence[str]) -> str:
        """The compare page of these runs, their weight images side by side."""
        runs = ",".join(f'"{run_id}"' for run_id in run_ids)
        query = f'runs=[{runs}]&experiments=["{self.experiment_id}"]'
        return f"{self.settings.ui_address}/#/compare-runs?{_quoted(query)}&{_WORKFLOW}"

    def charts_url(self, run_ids: Sequence[str]) -> str:
        """The chart view of these runs."""
        runs = ",".join(f"'{run_id}'" for run_id in run_ids)
        search = _quoted(f"attributes.run_id IN ({runs})", safe="")
        return (
            f"{self.settings.ui_address}/#/experiments/{self.experiment_id}/runs?{_WORKFLOW}"
            f"&compareRunsMode=CHART&searchFilter={search}"
        )


_WORKFLOW = "workflowType=machine_learning"


def _quoted(text: str, safe: str = "=&[],") -> str:
    from urllib.parse import quote

    return quote(text, safe=safe)


def logged_epochs(n_epochs: int) -> list[int]:
    """The epochs, from 0, whose values are logged: all of them."""
    return list(range(n_epochs))


def _curve_metrics(curves: Curves, now: int) -> list[Metric]:
    """Steps are epochs, from 1; values that are not finite are left out."""
    from mlflow.entities import Metric

    return [
        Metric(name, float(values[epoch]), now, epoch + 1)
        for name in Curves.names()
        for values in [getattr(curves, name)]
        for epoch in logged_epochs(len(values))
        if math.isfinite(values[epoch])
    ]


def _summary_metrics(trial: FinishedTrial) -> dict[str, float]:
    """One number each; logarithms too, because the UI's parallel coordinates are linear."""
    tried = trial.hyperparameters
    metrics = {
        "best_epoch": float(trial.best_epoch),
        "best_val_loss": trial.best_val_loss,
        "stopped_epoch": float(trial.stopped_epoch),
        "log10_learning_rate": math.log10(tried.learning_rate),
    }
    if tried.weight_decay > 0:
        metrics["log10_weight_decay"] = math.log10(tried.weight_decay)
    return {key: value for key, value in metrics.items() if math.isfinite(value)}


def _status_sentence(result: TrainingResult) -> str:
    stopped = "" if result.status is Status.COMPLETED else f" (epoch {result.stopped_epoch})"
    return f"{result.status.value}{stopped}"


def _npy(array: npt.NDArray[Any]) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _dataset_input(spec: StudySpec, context: str, data: Dataset) -> DatasetInput:
    import json

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


# -- opening -----------------------------------------------------------------------------------


def _client(settings: Settings) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if settings.tracking_uri is None and not settings.mlflow_file.exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        # Write-ahead logging is kept in the file: readers (the UI) no longer block the driver.
        with contextlib.closing(sqlite3.connect(settings.mlflow_file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    return MlflowClient(settings.mlflow_uri, registry_uri=settings.mlflow_uri)


@contextlib.contextmanager
def _reachable(settings: Settings) -> Iterator[None]:
    """Turn whatever MLflow raises while opening into one sentence."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        uri = redacted(settings.mlflow_uri)
        reason = str(error).splitlines()[0].replace(settings.mlflow_uri, uri)[:300]
        raise LockstepError(f"MLflow at {uri} cannot be used: {reason}") from error


def open_tracker(spec: StudySpec, settings: Settings) -> Tracker:
    """The study's experiment and parent run, created or found. Raises LockstepError."""
    with _reachable(settings):
        client = _client(settings)
        experiment_id = _experiment(client, spec, settings)
        parent = _find(client, experiment_id, f"tags.`{ROLE_TAG}` = 'study'")
        if parent:
            run_id = str(parent[0].info.run_id)
            client.update_run(run_id, status="RUNNING")
        else:
            run_id = str(
                client.create_run(
                    experiment_id,
                    run_name=f"{spec.name} (study)",
                    tags={
                        ROLE_TAG: "study",
                        "mlflow.source.name": "lockstep launch",
                        "mlflow.note.content": spec.description,
                    },
                ).info.run_id
            )
            for key, value in _flat(spec.defining()).items():
                client.log_param(run_id, key, value[:MAX_PARAMETER])
        return Tracker(client, settings, experiment_id, run_id)


def load_tracker(spec: StudySpec, settings: Settings) -> Tracker:
    """As `open_tracker`, but the parent run is left as it is."""
    with _reachable(settings):
        client = _client(settings)
        experiment = client.get_experiment_by_name(spec.name)
        parent = (
            _find(client, experiment.experiment_id, f"tags.`{ROLE_TAG}` = 'study'")
            if experiment is not None
            else []
        )
        if not parent:
            raise LockstepError(
                f"MLflow at {redacted(settings.mlflow_uri)} has no runs of study {spec.name}: "
                "name the server that it was launched with (--tracking-uri)"
            )
        return Tracker(client, settings, experiment.experiment_id, str(parent[0].info.run_id))


def adopt_leftovers(tracker: Tracker, recorded: Mapping[int, str]) -> None:
    """Find the runs that a killed driver wrote but never committed, to be replaced.

    recorded: run id by number of the trials that are committed.
    """
    for run in _find(tracker.client, tracker.experiment_id, f"tags.`{ROLE_TAG}` = 'trial'"):
        number = int(run.data.tags[TRIAL_TAG])
        if recorded.get(number) != run.info.run_id:
            tracker._unfinished[number] = str(run.info.run_id)


def _experiment(client: MlflowClient, spec: StudySpec, settings: Settings) -> str:
    experiment = client.get_experiment_by_name(spec.name)
    if experiment is None:
        owned = settings.tracking_uri is None
        location = (settings.artifacts / spec.name).as_uri() if owned else None
        return str(client.create_experiment(spec.name, artifact_location=location))
    if experiment.lifecycle_stage != "active":
        raise LockstepError(
            f"MLflow experiment {spec.name} was deleted, which keeps its name: restore it "
            f"(`mlflow experiments restore -x {experiment.experiment_id}`) or rename the study"
        )
    return str(experiment.experiment_id)


def _find(client: MlflowClient, experiment_id: str, condition: str) -> list[Run]:
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], condition, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
