"""Where a command reads and writes: the command line's options, resolved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from search.redact import redacted

UI_PORT = 5000  # what `lockstep ui` serves on, and what links to a local store point at


@dataclass(frozen=True, slots=True)
class Settings:
    """home: the folder that a launch writes to. storage: an Optuna URL, None for the journal in
    home. tracking_uri: an MLflow URI, None for the SQLite store in home. data_dir: a folder of data
    files, None for $LOCKSTEP_DATA or the network. workers: training processes. cluster: `local` or
    the address of a Dask scheduler, None for processes without Dask. patience: seconds to wait for
    a database or a server that is lost on the way. every_epoch: log the metrics of every epoch to
    MLflow, not of some."""

    home: Path = Path("runs")
    storage: str | None = None
    tracking_uri: str | None = None
    data_dir: Path | None = None
    workers: int = os.cpu_count() or 1
    cluster: str | None = None
    patience: float = 120.0
    every_epoch: bool = False

    def folder(self, study: str) -> Path:
        """What is kept of one study: its journal, its lock and its figures."""
        return self.home / study

    def figures(self, study: str) -> Path:
        return self.folder(study) / "figures"

    @property
    def mlflow_uri(self) -> str:
        return self.tracking_uri or f"sqlite:///{self.mlflow_file}"

    @property
    def mlflow_file(self) -> Path:
        return self.home.resolve() / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.home.resolve() / "artifacts"

    @property
    def ui_address(self) -> str:
        """The address that links into the MLflow UI start with."""
        served = self.mlflow_uri.startswith(("http://", "https://"))
        return redacted(self.mlflow_uri).rstrip("/") if served else f"http://127.0.0.1:{UI_PORT}"
