"""Errors that are the user's to mend: one sentence each, exit code 2, no traceback."""

from __future__ import annotations


class LockstepError(Exception):
    """Anything that a user can mend; its text is the whole message."""


class StudyFileError(LockstepError):
    """A study file that cannot be read or does not validate."""


class StudyChangedError(LockstepError):
    """The study file differs from the one that the stored study was started with."""


class StudyBusyError(LockstepError):
    """Another driver holds the study."""


class NothingToShowError(LockstepError):
    """A study that was never launched, or has no finished trial yet."""


def first_line(error: BaseException) -> str:
    """What a library says went wrong, shortened to one line."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:300]
