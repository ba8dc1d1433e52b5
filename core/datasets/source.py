"""What is to be read: the name or path of a source, and how its columns or arrays are meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


def suffix_of(path: str | Path) -> str:
    """Return the suffix of a file's name in lower case: a file X.NPZ is an .npz file."""
    return Path(path).suffix.lower()


@dataclass(frozen=True, slots=True)
class Source:
    """A source of data and the keys of a study file that explain it.

    name: ``digits``, ``iris``, ``wine``, ``breast-cancer``, ``mnist``, ``fashion-mnist``, or the
        path of a file: .npz, .npy, .csv, .tsv or .parquet.
    label: the column of a table that has the labels.
    labels: the path of the .npy file with the labels of an .npy file.
    split: the column, the array in an .npz file, or the path of an .npy file, that says of each row
        whether it is for train, validation or test.
    groups: likewise, which rows belong together; no group is divided.
    categorical: "one-hot" if columns of texts are to be encoded.
    ignore: columns or arrays that are left out.
    mapped: whether an .npy file is mapped however small it is, as one of several sets of features.
    """

    name: str
    label: str | None = None
    labels: str | None = None
    split: str | None = None
    groups: str | None = None
    categorical: str | None = None
    ignore: tuple[str, ...] = ()
    mapped: bool = False

    @property
    def path(self) -> Path:
        """The path of the file."""
        return Path(self.name).expanduser()
