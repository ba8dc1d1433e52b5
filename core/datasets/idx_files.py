"""Find the four IDX files of a data set like MNIST in a folder, as people lay them out."""

from __future__ import annotations

import os
from pathlib import Path

from core.datasets.checks import listed
from core.datasets.dataset import DataError

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}  # its folders


def find_idx(folder: Path, source: str, named_by: str) -> list[Path]:
    """Return the paths of the four files, in the order of `NAMES`.

    They are in the folder or in one named like the source, or lie there as torchvision keeps them.
    Each may be plain or compressed, with '.' instead of '-' before 'idx', or in a folder of its own
    name, as Kaggle packs them. named_by: what names the folder, for a message.

    Raises DataError if no place has all four, with a sentence on what is there.
    """
    if not os.path.isdir(folder):  # Path.is_dir would raise where a folder may not be entered.
        raise DataError(
            f"{named_by} {folder}: there is no such folder: name the one with the IDX files of "
            f"{source}."
        )
    torchvision = folder / _TORCHVISION[source]
    places = (folder / source, folder, torchvision / "raw", torchvision, folder / "raw")
    found = [[_find(place, name) for name in NAMES] for place in places]
    for paths in found:
        if None not in paths:
            return [path for path in paths if path is not None]
    most = max(found, key=lambda paths: len(NAMES) - paths.count(None))
    if any(most):
        missing = [name for name, path in zip(NAMES, most, strict=True) if path is None]
        place = places[found.index(most)]
        raise DataError(
            f"{place} lacks the IDX files {listed(missing)} (plain or .gz) of {source}."
        )
    raise DataError(
        f"{named_by} {folder} has no IDX files of {source}, which are called {listed(NAMES)} "
        f"(plain or .gz): there are {_present(folder)}."
    )


def _find(place: Path, name: str) -> Path | None:
    """Return the path of one of the files in a folder, None if it is not there."""
    dotted = name.replace("-idx", ".idx")
    spellings = (name, f"{name}.gz", dotted, f"{dotted}.gz")
    inner = [f"{outside}/{inside}" for outside in (name, dotted) for inside in spellings]
    for each in (*spellings, *inner):
        if os.path.isfile(place / each):
            return place / each
    return None


def _present(folder: Path) -> str:
    """Return what is in a folder, for a message; IDX files of other names first."""
    try:
        names = sorted(os.listdir(folder), key=lambda name: ("ubyte" not in name, name))
    except OSError as error:
        return f"no files that can be seen ({error.strerror})"
    return listed(names, 5) if names else "no files in it"
