"""Watches for executors, as the commands have them."""

from __future__ import annotations

from collections.abc import Callable


class Watching:
    """Hears of the progress, and asks to stop once ``stop`` is set."""

    def __init__(self, hear: Callable[[int], object] = lambda trained: None) -> None:
        self.hear = hear
        self.again = 0
        self.stop = False

    def trained(self, epochs: int) -> None:
        self.hear(epochs)

    def repeated(self, epochs: int) -> None:
        self.again += epochs

    def waiting(self) -> None:
        pass

    def stopping(self) -> bool:
        return self.stop
