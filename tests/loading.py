"""The train and the test part of a source that needs no other key of [data] than these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from core.datasets.dataset import Dataset
from core.datasets.source import Source
from core.datasets.sources import load_source


def load(
    source: str,
    classes: Sequence[int | str] | None,
    data_dir: Path | None,
    announce: Callable[[str], None],
    tell: Callable[[str], None] | None = None,
) -> tuple[Dataset, Dataset | None]:
    loaded = load_source(Source(source), classes, data_dir, announce, tell or _unsaid)
    return loaded.train, loaded.test


def _unsaid(remark: str) -> None:
    """What is odd in the data does not matter here."""
