"""The names of the files and folders in a home, and which names a study may therefore not have."""

from __future__ import annotations

MLFLOW_FILE = "mlflow.db"  # MLflow's store
UNFINISHED = "mlflow.new"  # the store while it is made
COMPLETE = "mlflow.new-copy"  # its copy, which becomes the store
STORE_LOCK = "mlflow.lock"  # held by the process that makes it
ARTIFACTS = "artifacts"  # the files of MLflow's runs
JOURNAL = "study.journal"  # Optuna's, in the folder of a study
RECORD = "launched.toml"  # there as well, of a study that was launched with --set or --name

_SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")  # SQLite puts such files beside a database
UNFINISHED_FILES = tuple(
    f"{name}{suffix}" for name in (UNFINISHED, COMPLETE) for suffix in _SQLITE_SUFFIXES
)
STORE_FILES = tuple(f"{MLFLOW_FILE}{suffix}" for suffix in _SQLITE_SUFFIXES)
USED = frozenset({*STORE_FILES, *UNFINISHED_FILES, STORE_LOCK, ARTIFACTS})

# Windows opens a device by such a name, whatever follows its first dot.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)


def unfit(name: str) -> str | None:
    """Return why a folder in a home cannot have this name, None if it can."""
    if name in USED:
        return "every home has a file or folder of this name"
    if name.partition(".")[0] in _DEVICES:
        return "Windows knows a device of this name, and makes no folder of it"
    if name.endswith("."):
        return "Windows leaves out a dot at the end of a folder's name"
    return None
