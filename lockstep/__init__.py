"""Lockstep in Python: search hyperparameters of a softmax regression, from a script or a notebook.

    import lockstep

    study = lockstep.Study("probe", X, y)      # or lockstep.load("studies/digits-3v6.toml")
    found = study.launch()                     # trains what is missing; `found` shows itself
    model = study.retrain()                    # a fitted classifier of scikit-learn's kind

This room is the only public one, and a thin layer over `search.commands`: what it writes, the
command line continues, and the other way round. `study.py` has `Study` and `load`, `axes.py` the
ranges, `classifier.py` the `LockstepClassifier`. `definition.py` puts `options.py` and the data of
`given.py`, which are arrays (`arrays.py`) or tables (`tables.py`), into a study file, which
`written.py` writes into the home. `calling.py` runs a command in the user's process and leaves that
as it was. `found.py` and `page.py` show what was found. `registered.py` and `inputs.py` make a
classifier of a model that is in MLflow, and `own.py` looks whether this package finds its own
others.

Importing it loads NumPy alone: scikit-learn, MLflow, Optuna and others are loaded when they are
needed.

May import: `search`, but not its command line, and `core`. Nothing there imports this room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockstep.own import check_own_packages

check_own_packages()

from lockstep.axes import Axis, linear, log  # noqa: E402 - only our own `search` may be loaded
from lockstep.study import Study, load  # noqa: E402
from search.errors import LockstepError  # noqa: E402

if TYPE_CHECKING:
    from lockstep.classifier import LockstepClassifier
    from lockstep.found import Found

__all__ = [
    "Axis",
    "Found",
    "LockstepClassifier",
    "LockstepError",
    "Study",
    "linear",
    "load",
    "log",
]
_LATE = {"Found": "lockstep.found", "LockstepClassifier": "lockstep.classifier"}


def __getattr__(name: str) -> Any:
    """Return what is imported late, as scikit-learn takes a second."""
    if name not in _LATE:
        raise AttributeError(f"module 'lockstep' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
