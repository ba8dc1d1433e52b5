"""Notice that a home is a copy, and would share the runs of its original on one MLflow server.

A copied journal says that the runs of the original are its own. In the home's own store they are
copies too, but on a server there is only one of each, and a launch replaces those that its journal
does not know. So the journal keeps where it was when it last wrote to a server.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import optuna

from search.errors import LockstepError
from search.home import JOURNAL
from search.redact import redacted
from search.settings import Settings
from search.trials.attributes import PLACE_ATTRIBUTE


def check_is_no_copy(study: optuna.Study, settings: Settings) -> None:
    """Note the place of the home and its MLflow server in the study.

    Raises LockstepError if the study was in another home that is still there with the same journal,
    and wrote to the same server.
    """
    if settings.storage is not None or settings.tracking_uri is None:
        return
    name, server = study.study_name, redacted(settings.tracking_uri)
    present = {"home": str(settings.place), "host": socket.gethostname(), "server": server}
    noted = study.user_attrs.get(PLACE_ATTRIBUTE)
    if noted == present:
        return
    if noted is not None and (noted["host"], noted["server"]) == (present["host"], server):
        original = Path(noted["home"])
        if _is_copy(settings.place / name / JOURNAL, original / name / JOURNAL):
            raise LockstepError(
                f"study {name} in {settings.place} is a copy of the one in {original}, and both "
                f"would write the same runs to MLflow at {server}: go on in one of them, or leave "
                "--tracking-uri out here"
            )
    study.set_user_attr(PLACE_ATTRIBUTE, present)


def _is_copy(journal: Path, other: Path) -> bool:
    """Return whether two files begin with the same line, which no two journals do by chance."""
    with contextlib.suppress(OSError):
        if journal.samefile(other):
            return False
        with journal.open("rb") as one, other.open("rb") as two:
            return one.readline() == two.readline()
    return False
