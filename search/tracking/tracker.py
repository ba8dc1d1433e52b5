"""Write a study's runs to MLflow: one parent run for the study, and one child run for each trial.

Optuna's storage decides what is run. MLflow is only written, and read back for figures and models.
mlflow is imported inside functions, because the import takes a second.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.dataset import Dataset
from core.datasets.study_data import ONLY, StudyData
from core.trainer.result import Curves
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.busy_store import again_if_busy
from search.tracking.names import NOTE_TAG, PARENT_TAG, REPORT_TAG, ROLE_TAG, SOURCE_TAG
from search.tracking.owner import owner_tags
from search.tracking.run_content import curve_points, dataset_input
from search.trials.identity import Identity

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_METRICS = 1000  # the most that MLflow takes in one log_batch


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
        self.spec = spec
        self.settings = settings
        self.uri = settings.mlflow_uri
        self.location = location
        self.artifacts = location.artifacts
        self.experiment_id = location.experiment_id
        self.parent_run_id = location.parent_run_id
        self.identity = location.identity
        self.known = known
        self._own = owner_tags(location.identity)

    @property
    def is_local(self) -> bool:
        """Whether the runs' files are on this machine's disk."""
        return self.artifacts.startswith(("file:", "/"))

    # The study's data

    def log_study_data(self, data: StudyData) -> None:
        """Log the data that the study uses, unless it is already logged."""
        for features in data.names:
            splits = data.of(features)
            for context, part in (("train", splits.train), ("validation", splits.validation)):
                self.log_dataset(self.parent_run_id, context, part, features)

    def log_dataset(self, run_id: str, context: str, data: Dataset, features: str = ONLY) -> None:
        """Log a dataset that a run uses; context: its purpose in a word or two; features: the name
        of its set of features."""
        self.client.log_inputs(run_id, [dataset_input(self.spec, context, data, features)])

    # Any run

    def start_run(self, name: str, role: str, tags: Mapping[str, str]) -> str:
        """Create a run below the parent run, and return its id."""
        own = {PARENT_TAG: self.parent_run_id, SOURCE_TAG: self.location.source, ROLE_TAG: role}
        all_tags = {**own, **self._own, **tags}
        run = again_if_busy(
            lambda: self.client.create_run(self.experiment_id, run_name=name, tags=all_tags)
        )
        return str(run.info.run_id)

    def end_run(self, run_id: str, status: str) -> None:
        """Set how a run ended: FINISHED, KILLED or FAILED."""
        again_if_busy(lambda: self.client.set_terminated(run_id, status))

    def delete_run(self, run_id: str) -> None:
        """Delete a run; in the UI it can be restored."""
        again_if_busy(lambda: self.client.delete_run(run_id))

    @contextlib.contextmanager
    def run(self, name: str, role: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Create a run that is FINISHED after the ``with`` block, or FAILED if the block raises."""
        run_id = self.start_run(name, role, tags)
        try:
            yield run_id
        except BaseException:
            self.end_run(run_id, "FAILED")
            raise
        self.end_run(run_id, "FINISHED")

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
        named: dict[str, Any] = {
            "params": [Param(key, str(value)) for key, value in (params or {}).items()],
            "tags": [RunTag(key, value) for key, value in (tags or {}).items()],
        }
        for start in range(0, max(len(points), 1), MAX_METRICS):
            some = points[start : start + MAX_METRICS]
            log = partial(self.client.log_batch, run_id, metrics=some, synchronous=True, **named)
            again_if_busy(log)
            named = {}

    def log_files(self, run_id: str, files: Sequence[Artifact]) -> None:
        """Log these files with a run.

        On this machine's disk they are written where they belong; a server is sent them.
        """
        with contextlib.ExitStack() as stack:
            if self.is_local:
                folder = self.run_folder(run_id) / "artifacts"
            else:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for file in files:
                path = folder / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
            if not self.is_local:
                self.client.log_artifacts(run_id, str(folder))

    def run_folder(self, run_id: str) -> Path:
        """Return the folder of a run, in which MLflow has its artifacts, if these are local.

        It follows from the address of the study's artifacts; to ask MLflow for it would take as
        long as to write the files.
        """
        from mlflow.utils import file_utils

        path_of: Any = file_utils.local_file_uri_to_path
        return Path(path_of(f"{self.artifacts}/{run_id}"))

    # The parent run

    def finish(
        self,
        note: str,
        figures: Sequence[Artifact],
        metrics: Mapping[str, float],
        digest: str = "",
    ) -> None:
        """Write the study's description, figures and metrics, and end the parent run.

        digest: of what these were made of.
        """
        self.log_files(self.parent_run_id, figures)
        tags = {NOTE_TAG: note, REPORT_TAG: digest}
        self.log_values(self.parent_run_id, metrics=metrics, tags=tags)
        self.end_run(self.parent_run_id, "FINISHED")

    def stop(self) -> None:
        """End the parent run of a study that is to be continued later."""
        self.end_run(self.parent_run_id, "KILLED")
