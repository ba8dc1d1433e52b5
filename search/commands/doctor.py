"""Find out what a bug report needs: versions, processor, BLAS, environment and home folder.

Nothing here fails. What cannot be found out is reported as unknown, with the reason.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.errors import first_line
from search.redact import redacted

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "threadpoolctl", "optuna", "cmaes", "mlflow", "SQLAlchemy",
    "pandas", "matplotlib", "pillow", "click", "pydantic", "dask", "distributed", "psycopg",
    "optuna-dashboard", "uvloop", "torch",
)  # fmt: skip
VARIABLES = ("OPENBLAS_", "MKL_", "OMP_NUM_THREADS", "LOCKSTEP_", "MLFLOW_TRACKING_URI")
_IN_A_LINE = 6  # the number of packages in a line


def examine(home: Path) -> dict[str, Any]:
    """Return what `--json` prints: texts, numbers, and None for a package that is missing.

    If something cannot be found out, its text begins with "unknown". Nothing is raised, and nothing
    that is written stays.
    """
    return {
        "lockstep": _version("lockstep"),
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "sqlite": _or_unknown(_sqlite),
        "platform": _or_unknown(platform.platform),
        "processor": _or_unknown(_processor),
        "cores": {"all": os.cpu_count(), "usable": _or_unknown(_usable_cores)},
        "blas": _or_unknown(_blas),
        "packages": {name: _version(name) for name in PACKAGES},
        "variables": {
            name: redacted(value)
            for name, value in sorted(os.environ.items())
            if name.startswith(VARIABLES)
        },
        "home": {
            "path": str(home),
            "state": _or_unknown(lambda: _state(home)),
            "free_bytes": _or_unknown(lambda: shutil.disk_usage(_nearest(home)).free),
        },
    }


def summary(found: dict[str, Any]) -> str:
    """Return the text for people: what `examine` found, under headings."""
    packages = [f"{name} {version}" for name, version in found["packages"].items() if version]
    missing = [name for name, version in found["packages"].items() if not version]
    home, free = found["home"], found["home"]["free_bytes"]
    room = f"{free / 1e9:.1f} GB free" if isinstance(free, int) else f"free room {free}"
    sections = {
        "Lockstep": [found["lockstep"] or "not installed"],
        "Python": [found["python"]],
        "SQLite": [found["sqlite"]],
        "platform": [found["platform"]],
        "processor": [found["processor"]],
        "cores": [f"{found['cores']['all']}, usable by this process: {found['cores']['usable']}"],
        "BLAS": _blas_lines(found["blas"]),
        "packages": [
            ", ".join(packages[start : start + _IN_A_LINE])
            for start in range(0, len(packages), _IN_A_LINE)
        ],
        "missing": [", ".join(missing) or "none"],
        "variables": [f"{name}={value}" for name, value in found["variables"].items()] or ["none"],
        "home": [f"{home['path']}: {home['state']}, {room}"],
    }
    return "\n".join(
        f"{'' if index else heading:9}  {_printable(line)}"
        for heading, lines in sections.items()
        for index, line in enumerate(lines)
    )


def _or_unknown(look: Callable[[], Any]) -> Any:
    """Return what a function returns, or why that is unknown if it raises an error."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a report with a gap is better than none
        return f"unknown ({type(error).__name__}: {first_line(error)})"


def _version(package: str) -> str | None:
    """Return the version of a package, None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _sqlite() -> str:
    """Return the version of SQLite that Python uses."""
    import sqlite3  # This fails if Python was built without SQLite.

    return sqlite3.sqlite_version


def _processor() -> str:
    """Return the processor's name: Linux's full name for it, elsewhere what Python knows."""
    file = Path("/proc/cpuinfo")
    for line in file.read_text().splitlines() if file.exists() else ():
        key, _, name = line.partition(":")
        if key.strip() == "model name":
            return name.strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    """Return how many cores this process may use: not all of them in some containers."""
    affinity = getattr(os, "sched_getaffinity", None)  # only Linux has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _blas() -> list[dict[str, Any]]:
    """Return the BLAS libraries that NumPy and SciPy load, which may be two or the same."""
    from threadpoolctl import threadpool_info

    for module in ("numpy", "scipy.linalg.blas"):
        importlib.import_module(module)
    return [
        {
            "library": each["internal_api"],
            "version": each["version"],
            "kernel": each.get("architecture"),  # named after the processor that it was written for
            "threads": each["num_threads"],
            "file": each["filepath"].removeprefix(sysconfig.get_path("platlib") + os.sep),
        }
        for each in threadpool_info()
        if each["user_api"] == "blas"
    ]


def _blas_lines(blas: list[dict[str, Any]] | str) -> list[str]:
    """Return a line for each BLAS library, or the one that says why they are unknown."""
    if isinstance(blas, str):
        return [blas]
    lines = [
        "{library} {version}, kernel {kernel}, threads {threads}: {file}".format(**each)
        for each in blas
    ]
    return lines or ["none that threadpoolctl knows"]


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.resolve().parents) if each.exists())


def _state(home: Path) -> str:
    """Return whether the home exists and can be written, in words."""
    nearest = _nearest(home)
    found = "there" if nearest == home else f"not there yet, {nearest} is"
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"0")
    except OSError as error:
        return f"{found}, not writable ({error.strerror})"
    return f"{found}, writable"


def _printable(text: str) -> str:
    """Return a text with escapes for what a terminal must not be sent."""
    return text if text.isprintable() else ascii(text)
