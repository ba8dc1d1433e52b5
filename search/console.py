"""What a command prints: lines and a progress bar for people, JSON for scripts."""

from __future__ import annotations

import contextlib
import errno
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import click

from search.errors import OutputLostError

PLAIN_LINE_SECONDS = 10.0  # the time between progress lines if there is no terminal
SHOWN_BYTES = 1 << 28  # of which the reading is shown; fewer are read in a moment

# Shows that so many bytes are being read, and yields what is called with each number of bytes.
Reading = Callable[[int], contextlib.AbstractContextManager[Callable[[int], object]]]


class Console:
    """A printer of text to standard output, or to standard error if JSON is asked for.

    silent: whether nothing is printed.
    on_loss: called if what is printed cannot be written; without it, OutputLostError is raised.
    """

    def __init__(self, as_json: bool = False, *, silent: bool = False) -> None:
        self.on_loss: Callable[[OutputLostError], None] | None = None
        self._as_json = as_json
        self._silent = silent

    @property
    def shows_bars(self) -> bool:
        """Whether bars are shown that advance: on a terminal and in a notebook."""
        return not self._silent and (sys.stderr.isatty() or in_notebook())

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Note if what the block prints cannot be written.

        The loss of a terminal is not noted: its SIGHUP says whether the command is to stop, and a
        command that ignores that, as below `nohup`, is to go on.
        """
        try:
            yield
        except OSError as error:
            if error.errno == errno.EIO:
                return
            lost = OutputLostError(error)
            if self.on_loss is None:
                raise lost from error
            self.on_loss(lost)

    def say(self, text: str = "") -> None:
        """Print a line of text."""
        if self._silent:
            return
        with self.writing():
            click.echo(text, err=self._as_json)

    def result(self, value: dict[str, Any]) -> None:
        """Print a JSON object as the last line of standard output if JSON is asked for."""
        if self._as_json:
            with self.writing():
                click.echo(json.dumps(value, allow_nan=False))

    @contextlib.contextmanager
    def reading(self, total: int) -> Iterator[Callable[[int], object]]:
        """Show a bar on a terminal while so many bytes are read; yield what advances it."""
        if not self.shows_bars or total < SHOWN_BYTES:
            yield unshown_bytes
            return
        with _bar(total=total, desc="reading", unit="B", unit_scale=True, leave=False) as bar:
            yield bar.update

    def progress(self, workload: Workload, done: int = 0, trained: int = 0) -> Progress:
        """Return a progress display to be entered; see `Progress`."""
        return Progress(self, workload, done, trained)


@dataclass(frozen=True, slots=True)
class Workload:
    """What a command has to do in all, including what earlier commands have done of it.

    total: the number of things to be recorded, None if it is unknown.
    epochs: the number of epochs to be trained for them together, None if it is unknown.
    things: what is recorded, in the plural.
    """

    total: int | None
    epochs: int | None
    things: str = "trials"


class Progress:
    """A display of the trials or other things that are done, the best so far and the time left.

    On a terminal and in a notebook it is a bar, elsewhere a line from time to time. It advances
    with every epoch that is trained; a thing counts as done when it is recorded.

    done, trained: the things and epochs of the workload that earlier commands have done.
    """

    def __init__(self, console: Console, workload: Workload, done: int, trained: int) -> None:
        self._console = console
        self._workload = workload
        self._done = done
        self._trained = trained
        self._best = ""
        self._started = self._last_line = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._console.shows_bars:
            width = "" if in_notebook() else ":30"
            known = (
                f"{{percentage:3.0f}}% |{{bar{width}}}| {{desc}} [{{elapsed}}, {{remaining}} left]"
            )
            with self._console.writing():
                self._bar = _bar(
                    total=self._workload.epochs,
                    initial=self._trained,
                    bar_format="{desc} [{elapsed}]" if self._workload.epochs is None else known,
                    leave=True,
                )
                self._describe()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.close()

    def trained(self, epochs: int) -> None:
        """Advance by a number of epochs, summed over trials."""
        if self._bar is not None:
            total = self._bar.total
            with self._console.writing():
                self._bar.update(
                    epochs if total is None else max(0, min(epochs, total - self._bar.n))
                )

    def repeated(self, epochs: int) -> None:
        """Take back so many epochs of earlier launches, because they are trained again."""
        if self._bar is not None:
            self._bar.n = self._bar.initial = max(0, self._bar.n - epochs)

    def recorded(self, best: str) -> None:
        """Count one more thing as done. best: the best score so far, in words."""
        self._done += 1
        self._best = best
        now = time.monotonic()
        if self._bar is not None:
            self._describe()
        elif now - self._last_line > PLAIN_LINE_SECONDS or self._done == self._workload.total:
            self._last_line = now
            self._console.say(f"{self._text()} ({now - self._started:.0f} s)")

    def counted(self, done: int) -> None:
        """Set how many things are done, some of which needed no training."""
        if done > self._done:
            self._done = done - 1
            self.recorded(self._best)

    def _text(self) -> str:
        """Return how many things are done of how many, and the best so far."""
        total, things = self._workload.total, self._workload.things
        of = "" if total is None else f"/{max(self._done, total)}"
        return f"{self._done}{of} {things}" + (f", best {self._best}" if self._best else "")

    def _describe(self) -> None:
        """Write beside the bar what is done."""
        self._bar.set_description_str(self._text(), refresh=False)


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def _bar(**options: Any) -> Any:
    """Return a bar of tqdm's, in a notebook its widget where ipywidgets is installed."""
    if not in_notebook():
        from tqdm import tqdm

        return tqdm(**options)
    from tqdm.auto import tqdm as widget

    return widget(file=sys.stdout, **options)  # A notebook shows standard error as an error.


def unshown_bytes(advanced: int) -> None:
    """Show nothing."""


def unshown(total: int) -> contextlib.AbstractContextManager[Callable[[int], object]]:
    """Read without showing it; see `Reading`."""
    return contextlib.nullcontext(unshown_bytes)


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Format rows under headings as right-aligned columns."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, *rows]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
