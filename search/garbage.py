"""Have Python look for garbage less often in processes that are Lockstep's own."""

from __future__ import annotations

import gc

# Python's own figures, 700, 10 and 10, make it look through all that MLflow, Optuna and SQLAlchemy
# have imported again and again: a tenth of a launch of small trials. Hardly anything is garbage of
# the kind that it finds, and the most memory that a launch needs stays the same.
_NEW_OBJECTS, _TIMES_YOUNG, _TIMES_OLDER = 50_000, 20, 100


def collect_seldom() -> None:
    """Let this process make more objects before it looks for unreachable cycles among them.

    A process that is the user's own, such as a notebook's, is left as it is.
    """
    gc.set_threshold(_NEW_OBJECTS, _TIMES_YOUNG, _TIMES_OLDER)
