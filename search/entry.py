"""The console script: it arranges for Ctrl-C first of all, and then imports the command line.

Until a command has something to finish, Ctrl-C ends the process as the system does by default,
without a traceback. Python has no better moment to say so than here; while Python itself starts,
which takes some hundredths of a second, it may still print a traceback of its own.
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command line."""
    from search.cli import main as run_command

    run_command()
