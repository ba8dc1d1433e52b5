"""Errors that the user can fix: each is shown as one sentence, without a traceback, exit code 2."""

from __future__ import annotations


class LockstepError(Exception):
    """An error that the user can fix; its text is the whole message."""


class StudyFileError(LockstepError):
    """A study file cannot be read or is not valid."""


class StudyChangedError(LockstepError):
    """The study file differs from the one that the stored study was started with."""


class StudyBusyError(LockstepError):
    """Another process is running the study."""


class NothingToShowError(LockstepError):
    """The study was never launched, or has no finished trial yet."""


class OutputLostError(Exception):
    """What is printed can no longer be written: nobody reads it, or the disk of a file is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.nobody_reads = isinstance(error, BrokenPipeError)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 300 characters, or else its type."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:300]
