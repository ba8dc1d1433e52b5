"""How a command ends: its exit code, and the sentence in which a user is told what went wrong."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from search.errors import LockstepError, OutputLostError
from search.process import output_is_lost
from search.redact import hidden

Command = TypeVar("Command", bound=Callable[..., Any])

_STOPPED = "stopped{}. Finished trials are kept; the same command continues."
OUT_OF_MEMORY = (
    "out of memory: use fewer --workers, less data, or a machine with more memory (finished trials "
    "are kept; the same command continues)"
)


def exit_code(command: Callable[[], object]) -> int:
    """Run a command and return its exit code.

    If the user can fix what goes wrong, one sentence is printed. Raises whatever else goes wrong.
    """
    from search.commands.interrupts import INTERRUPTED, REFUSED, UNREAD, InterruptedStudyError

    try:
        command()
    except click.exceptions.Abort:
        return INTERRUPTED
    except SystemExit:  # raised by click if nobody reads its help
        return UNREAD
    except click.ClickException as error:
        error.show()
    except LockstepError as error:
        _tell(str(error))
    except InterruptedStudyError as error:
        _tell(_STOPPED.format(error.reason))
        return error.code
    except KeyboardInterrupt:
        _tell(_STOPPED.format(""))
        return INTERRUPTED
    except OutputLostError as error:
        if error.nobody_reads:
            return UNREAD
        _tell(f"what it prints cannot be written: {error}")
    except MemoryError:
        _tell(OUT_OF_MEMORY)
    except OSError as error:
        if output_is_lost():
            return UNREAD
        _tell(_told(error, None))
    else:
        return 0
    return REFUSED


def report_crash(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print a traceback without the passwords in the URLs that the command was given."""
    import traceback

    text = "".join(traceback.format_exception(kind, error, trace))
    variables = ("LOCKSTEP_STORAGE", "LOCKSTEP_UI_ADDRESS", "MLFLOW_TRACKING_URI")
    sys.stderr.write(hidden(text, *sys.argv, *(os.environ.get(name, "") for name in variables)))


def telling_faults(command: Command) -> Command:
    """Wrap a command that takes --home: what the system refuses becomes a LockstepError."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, home: Path, **options: Any) -> Any:
        try:
            return command(*arguments, home=home, **options)
        except (LockstepError, OutputLostError, click.ClickException):
            raise
        except OSError as error:
            raise LockstepError(_told(error, home)) from error
        except Exception as error:
            from core.datasets.errors import DataError

            if isinstance(error, DataError):  # a file of the data changed after it was read
                raise LockstepError(str(error)) from error
            from search.sqlite_errors import sentence

            if (told := sentence(error, options.get("storage"), home)) is None:
                raise
            raise LockstepError(told) from error

    return cast(Command, wrapped)


def in_a_home(command: Command) -> Command:
    """Wrap a command that works in --home: a home behind a broken link is told as what it is."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, home: Path, **options: Any) -> Any:
        from search.system_errors import unreachable

        if (told := unreachable(home)) is not None:
            raise LockstepError(told)
        return command(*arguments, home=home, **options)

    return cast(Command, wrapped)


def _told(error: OSError, home: Path | None) -> str:
    """Return the sentence for an error of the system, which is raised again if it is a bug."""
    from search.system_errors import sentence

    if (told := sentence(error, home)) is None:
        raise error
    return told


def _tell(sentence: str) -> None:
    """Print a sentence to standard error, unless nobody can read it any more."""
    with contextlib.suppress(OSError):
        click.echo(f"lockstep: {sentence}", err=True)
