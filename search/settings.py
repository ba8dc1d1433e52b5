"""The settings of a command: where it reads and writes, and how it trains."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from search.home import ARTIFACTS, MLFLOW_FILE
from search.redact import redacted
from search.sqlite_url import sqlite_url

UI_PORT = 5000  # `lockstep ui` serves on it, and links to a local store point at it


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of the command line that say where things are and how to train.

    home: the folder that a launch writes to.
    storage: an Optuna URL, None for the journal in home.
    tracking_uri: an MLflow URI, None for the SQLite store in home.
    public_address: where browsers reach the MLflow UI, None if that is the server of tracking_uri.
    data_dir: a folder of data files, None for $LOCKSTEP_DATA, or the network if that is not set.
    workers: the number of training processes.
    recorders: the number of processes that write runs to MLflow, 1 for none but the driver; None
        to choose by the cores and by what there is to write.
    cluster: `local` or the address of a Dask scheduler, None for processes without Dask.
    patience: the seconds to wait for a database or server that stops answering.
    every_epoch: whether the metrics of every epoch are logged to MLflow, not only those of some.
    """

    home: Path = Path("runs")
    storage: str | None = None
    tracking_uri: str | None = None
    public_address: str | None = None
    data_dir: Path | None = None
    workers: int = os.cpu_count() or 1
    recorders: int | None = None
    cluster: str | None = None
    patience: float = 120.0
    every_epoch: bool = False

    def folder(self, study: str) -> Path:
        """Return the folder of one study: its journal, its lock and its figures."""
        return self.home / study

    def figures(self, study: str) -> Path:
        """Return the folder of a study's figures."""
        return self.folder(study) / "figures"

    @property
    def place(self) -> Path:
        """The home's absolute path, without symbolic links."""
        return Path(os.path.realpath(self.home))

    @property
    def mlflow_uri(self) -> str:
        """The URI of the MLflow server or of the store in home."""
        return self.tracking_uri or sqlite_url(self.mlflow_file)

    @property
    def mlflow_file(self) -> Path:
        """The SQLite file of the MLflow store in home."""
        return self.place / MLFLOW_FILE

    @property
    def artifacts(self) -> Path:
        """The folder of the MLflow artifacts in home."""
        return self.place / ARTIFACTS

    @property
    def ui_address(self) -> str:
        """The address that links into the MLflow UI start with."""
        if self.public_address is not None:
            return redacted(self.public_address).rstrip("/")
        if self.served:
            return redacted(self.mlflow_uri).rstrip("/")
        return f"http://127.0.0.1:{UI_PORT}"

    @property
    def served(self) -> bool:
        """Whether MLflow is a server, whose UI need not be started."""
        return self.mlflow_uri.startswith(("http://", "https://"))
