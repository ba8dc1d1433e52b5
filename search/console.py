"""What a command prints: lines and a progress bar for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Self

import click

PLAIN_LINE_SECONDS = 10.0  # between progress lines where there is no terminal


class Console:
    """Prints text to standard output, or to standard error if JSON is asked for."""

    def __init__(self, as_json: bool = False) -> None:
        self._as_json = as_json

    def say(self, text: str = "") -> None:
        """Print a line of text."""
        click.echo(text, err=self._as_json)

    def result(self, value: dict[str, Any]) -> None:
        """Print a JSON object as the last line of standard output if JSON is asked for."""
        if self._as_json:
            click.echo(json.dumps(value, allow_nan=False))

    def progress(
        self,
        trials: int | None,
        epochs: int | None,
        done: int = 0,
        trained: int = 0,
        what: str = "trials",
    ) -> Progress:
        """Return a progress display to be entered; see `Progress`."""
        return Progress(self, trials, epochs, done, trained, what)


class Progress:
    """Shows trials done, the best so far and the time left.

    On a terminal it is a bar, elsewhere a line from time to time. It advances with every epoch that
    any trial trains; a trial counts as done when it is recorded.

    trials, epochs: the expected totals, None if they are unknown. done, trained: the trials and
    epochs that earlier launches finished. what: the word for the things that are counted.
    """

    def __init__(
        self,
        console: Console,
        trials: int | None,
        epochs: int | None,
        done: int,
        trained: int,
        what: str,
    ) -> None:
        self._console = console
        self._total = trials
        self._epochs = epochs
        self._done = done
        self._trained = trained
        self._what = what
        self._best = ""
        self._started = self._last_line = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from tqdm import tqdm

            known = "{percentage:3.0f}% |{bar:30}| {desc} [{elapsed}, {remaining} left]"
            self._bar = tqdm(
                total=self._epochs,
                initial=self._trained,
                bar_format="{desc} [{elapsed}]" if self._epochs is None else known,
                leave=True,
            )
            self._describe()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def trained(self, epochs: int) -> None:
        """Advance by a number of epochs, summed over trials."""
        if self._bar is not None:
            total = self._bar.total
            self._bar.update(epochs if total is None else max(0, min(epochs, total - self._bar.n)))

    def repeated(self, epochs: int) -> None:
        """Take back so many epochs of earlier launches, because they are trained again."""
        if self._bar is not None:
            self._bar.n = self._bar.initial = max(0, self._bar.n - epochs)

    def recorded(self, best: str) -> None:
        """Count one more trial as done. best: the best score so far, in words."""
        self._done += 1
        self._best = best
        now = time.monotonic()
        if self._bar is not None:
            self._describe()
        elif now - self._last_line > PLAIN_LINE_SECONDS or self._done == self._total:
            self._last_line = now
            self._console.say(f"{self._text()} ({now - self._started:.0f} s)")

    def _text(self) -> str:
        of = "" if self._total is None else f"/{max(self._done, self._total)}"
        return f"{self._done}{of} {self._what}" + (f", best {self._best}" if self._best else "")

    def _describe(self) -> None:
        self._bar.set_description_str(self._text(), refresh=False)


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Format rows under headings as right-aligned columns."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, *rows]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
