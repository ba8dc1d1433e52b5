"""What a user's file is: its columns of labels and texts, and what had better be left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.datasets.checks import listed, shown_name
from core.datasets.columns import MOST_VALUES
from core.datasets.npz import members
from core.datasets.raw import names_part
from core.datasets.source import Source, suffix_of
from core.datasets.tables import SUFFIXES, Frame, read_table
from search.errors import LockstepError
from search.wording import counted

LABEL_NAMES = ("label", "class", "target", "y")
SPLIT_NAME = "split"  # of the column or array that divides the rows
_ROW_NUMBERS = ("id", "index", "row", "row_id")


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be read, and why.

    label: in words, where the labels are; None if the source has a place of its own for them.
    texts: the columns that become one-hot, with the number of their texts.
    ignored: the columns that are left out, each with the reason.
    """

    source: Source
    label: str | None = None
    texts: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def given_source(file: str, label: str | None, labels: Path | None) -> Given:
    """Return what a file, or the name of a known data set, is.

    label: the column of a table that has the labels; None to look for it. labels: the .npy file
    with those of an .npy file; None to look for it beside the file.

    Raises LockstepError if there are no labels, and DataError if the file cannot be read.
    """
    path = Path(file)
    if label is not None and suffix_of(path) not in SUFFIXES:
        raise LockstepError(f"--label {shown_name(label)}: only tables have columns; leave it out")
    if labels is not None and suffix_of(path) != ".npy":
        raise LockstepError(f"--labels {labels}: only .npy files need it; leave it out")
    match suffix_of(path):
        case suffix if suffix in SUFFIXES:
            return _table(path, label)
        case ".npy":
            found = labels or _labels_beside(path)
            beside = path.with_name(f"{SPLIT_NAME}.npy")
            split = str(beside) if beside.is_file() else None
            return Given(Source(file, labels=str(found), split=split), f"in {found}")
        case ".npz":
            split = SPLIT_NAME if SPLIT_NAME in members(path) else None
            return Given(Source(file, split=split))
    return Given(Source(file))


def _labels_beside(path: Path) -> Path:
    """Return the .npy file with the labels of an .npy file. Raises LockstepError without one."""
    alike = path.stem.replace("X", "y", 1).replace("x", "y", 1)
    names = (f"{alike}.npy", "y.npy", "labels.npy")
    for other in (path.with_name(name) for name in names):
        if other != path and other.is_file():
            return other
    raise LockstepError(
        f"{path} has no labels: there is no y.npy beside it; name their file with --labels"
    )


def _table(path: Path, label: str | None) -> Given:
    """Return what the columns of a table are."""
    frame = read_table(path, ())
    columns = list(frame.columns)
    if len(columns) < 2:
        raise LockstepError(
            f"{path} has one column only, {shown_name(columns[0])}: it needs labels and features"
        )
    if label is not None and label not in columns:
        raise LockstepError(
            f"--label {shown_name(label)}: {path} has no such column; it has {listed(columns)}"
        )
    chosen, why = (label, "given by --label") if label is not None else _label_of(columns)
    texts: dict[str, int] = {}
    ignored: dict[str, str] = {}
    split = None
    for name in columns:
        if name == chosen:
            continue
        count = _texts(frame, name)
        if name.lower() == SPLIT_NAME and all(map(names_part, frame[name].astype(str).unique())):
            split = name
        elif (reason := _useless(frame, name, count)) is not None:
            ignored[name] = reason
        elif count:
            texts[name] = count
    source = Source(
        str(path),
        label=chosen,
        split=split,
        categorical="one-hot" if texts else None,
        ignore=tuple(ignored),
    )
    return Given(source, f"column {shown_name(chosen)}, {why}", texts, ignored)


def _label_of(columns: list[str]) -> tuple[str, str]:
    """Return the column that seems to have the labels, and why it does."""
    for wanted in LABEL_NAMES:
        for name in columns:
            if name.strip().lower() == wanted:
                return name, "chosen by its name"
    names = f"{', '.join(LABEL_NAMES[:-1])} or {LABEL_NAMES[-1]}"
    return columns[-1], f"the last one, because none is called {names}"


def _useless(frame: Frame, name: str, texts: int) -> str | None:
    """Return why a column cannot help to tell classes apart; None if it may.

    texts: how many different texts it has.
    """
    column, rows = frame[name], len(frame)
    if bool(column.isna().all()):
        return "has no values"
    if name.strip().lower() in _ROW_NUMBERS and int(column.nunique()) == rows:
        return "tells rows apart"
    if texts > MOST_VALUES or 2 * texts > rows > 20:
        return f"has {counted(texts, 'different text')}, too many for one-hot"
    return None


def _texts(frame: Frame, name: str) -> int:
    """Return how many different texts a column has; 0 if it has numbers, or is meant to.

    A column of which less than half is not a number has mistakes, which its reader points out.
    """
    column = frame[name].dropna()
    if column.dtype.kind in "iufb":
        return 0
    others = sum(not _is_number(value) for value in column.tolist())
    return int(column.nunique()) if 2 * others >= len(column) > 0 and others else 0


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True
