"""Lockstep as a process: its standard streams, what Ctrl-C does to it, and how it ends."""

from __future__ import annotations

import codecs
import io
import logging
import os
import signal
import sys
import unicodedata

from search.garbage import collect_seldom

_PLAIN = {
    "→": "->", "←": "<-", "±": "+-", "−": "-", "–": "-", "≤": "<=", "≥": ">=", "×": "x",
    "·": ".", "‖": "||", "λ": "lambda",
}  # fmt: skip


def begin() -> None:
    """Make the standard streams usable, and let Ctrl-C end the process without a traceback.

    Commands that have something to finish handle Ctrl-C themselves while they do (`interrupts.py`).
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.path.expanduser("~") == "~":  # a user without an entry, as in containers, and no HOME
        os.environ["HOME"] = os.sep  # MLflow needs some; container runtimes use this one
    # It would tell on standard error where its cache is, in a home that may not be written.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    collect_seldom()
    open_streams()


def open_streams() -> None:
    """Open the standard streams that are missing, and let them take what they cannot encode."""
    codecs.register_error("lockstep.plain", plain)
    for number in range(3):
        _open_missing(number)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lockstep.plain")


def _open_missing(number: int) -> None:
    """Open a descriptor of a standard stream that the process was started without, to nowhere.

    Otherwise the next file that is opened, such as a database, would get its number, and messages
    of libraries would be written into it.
    """
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)  # processes that are started need it, too


def plain(error: UnicodeError) -> tuple[str, int]:
    """Return plain characters in the place of those that a stream cannot encode.

    It is an error handler of `codecs`.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_plain_character, text)), error.end


def _plain_character(character: str) -> str:
    """Return ASCII that looks like a character, or else a question mark."""
    decomposed = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _PLAIN.get(character) or decomposed or "?"


def output_is_lost() -> bool:
    """Return whether what was printed cannot be written, because nobody reads it any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            return True
        except (OSError, ValueError):
            continue
    return False


def end(code: int) -> None:
    """End the process with this exit code. What cannot be written any more is dropped."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
    sys.exit(code)
