"""A process that writes the runs of trials, and the driver's end of it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Self

from search.child_process import ChildProcess, answer_all, served
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.client import answering, be_quiet, open_client
from search.tracking.tracker import KnownRuns, RunLocation, Tracker
from search.tracking.trial_writer import Features, TrialRun, TrialWriter

# Python has a server, where there can be one, that imports these once for all the processes.
_IMPORTED = ["mlflow", "mlflow.store.tracking.sqlalchemy_store", __name__]
_OF_MLFLOW = "MLFLOW_"  # with what the names of its variables begin


@dataclass(frozen=True, slots=True)
class Opening:
    """What a process needs to write runs of a study.

    environment: the variables that MLflow reads.
    """

    spec: StudySpec
    settings: Settings
    location: RunLocation
    features: Mapping[str, Features]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, tracker: Tracker, features: Mapping[str, Features]) -> Self:
        """Return what it takes to write runs as a tracker does."""
        variables = {k: v for k, v in os.environ.items() if k.startswith(_OF_MLFLOW)}
        return cls(tracker.spec, tracker.settings, tracker.location, features, variables)

    def writer(self) -> TrialWriter:
        """Open the store in this process, a child. Raises MLflow's errors."""
        for name in [name for name in os.environ if name.startswith(_OF_MLFLOW)]:
            del os.environ[name]  # It may have been started while others were set.
        os.environ.update(self.environment)
        client = open_client(self.settings)
        tracker = Tracker(client, self.spec, self.settings, self.location, KnownRuns())
        return TrialWriter(tracker, self.features)


class RecorderProcess:
    """A process that writes runs, one after the other."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._is_open = False

    @classmethod
    def start(cls) -> Self:
        """Start a process."""
        be_quiet()  # It inherits the variables.
        with_server = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if with_server else "spawn")
        if with_server:
            context.set_forkserver_preload(_IMPORTED)
        return cls(ChildProcess.start(context, _serve))

    def write(self, run: TrialRun, opening: Opening) -> str:
        """Write a run, and return its id.

        Raises ProcessDiedError if the process ends, LockstepError if MLflow fails, and OSError.
        """
        if not self._is_open:
            self._process.ask(opening)
            self._is_open = True
        return str(self._process.ask(run))

    def kill(self) -> None:
        """Kill the process. What it has written of a run is deleted by who notices that."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process, wait for its end, and close the pipe."""
        self._process.close()


class _Answers:
    """What a recorder's process answers, in that process."""

    def __init__(self) -> None:
        self._opening: Opening | None = None
        self._writer: TrialWriter | None = None

    def __call__(self, question: Opening | TrialRun) -> str:
        """Open the store, or write a run and return its id. Raises LockstepError, OSError."""
        if isinstance(question, Opening):
            self._opening = question
            with answering(question.settings):
                self._writer = question.writer()
            return ""
        assert self._opening is not None
        assert self._writer is not None
        with answering(self._opening.settings):
            return self._writer.write(question)


def _serve(pipe: Connection) -> None:
    """Serve the driver in the recorder's process: take runs, and send back their ids."""
    with served():
        answer_all(pipe, _Answers())
