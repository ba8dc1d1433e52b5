"""The console script: it arranges for Ctrl-C first of all, and then imports the command line.

It is installed as a module of its own, `lockstep_entry`, so that it runs, and can say what is
wrong, where a package of the user's hides Lockstep's `search`.

Until a command has something to finish, Ctrl-C ends the process as the system does by default,
without a traceback. Python has no better moment to say so than here; while Python itself starts,
which takes some hundredths of a second, it may still print a traceback of its own.
"""

from __future__ import annotations

import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command line, or say in one sentence what hides it."""
    try:
        from search.cli import main as run_command
    except ModuleNotFoundError as error:
        if error.name != "search.cli":
            raise
        sys.stderr.write(f"lockstep: {_hidden()}\n")
        sys.exit(2)
    run_command()


def _hidden() -> str:
    """Return what hides Lockstep's package `search`, and the remedy."""
    import importlib.util
    import os

    found = importlib.util.find_spec("search")
    places = [] if found is None else found.submodule_search_locations or [found.origin or ""]
    place = os.path.realpath(next(iter(places), ""))
    folder = os.path.dirname(place)
    return (
        f"{place} hides Lockstep's own package of that name, as {folder} comes first where Python "
        f"looks for packages: take {folder} out of PYTHONPATH (for this command alone: env -u "
        "PYTHONPATH lockstep …)"
    )
