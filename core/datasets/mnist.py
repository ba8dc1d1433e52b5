"""MNIST and Fashion-MNIST: from IDX files, or fetched from OpenML."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

import numpy as np

from core.datasets.dataset import DataError
from core.datasets.idx import read_idx
from core.datasets.idx_files import find_idx
from core.datasets.published import digests, labels_of, told_apart
from core.datasets.raw import Part, Raw

DATA_DIR_VARIABLE = "LOCKSTEP_DATA"
OPENML_NAMES = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}
_OPENML_TRAIN = 60_000  # OpenML keeps the original order of the 70,000 examples, train part first.


def read_mnist_like(
    source: str,
    data_dir: Path | None,
    announce: Callable[[str], None],
    tell: Callable[[str], None],
) -> Raw:
    """Return a source of MNIST's format from its IDX files, or fetched from OpenML.

    data_dir: the folder with the files; see `sources.load_source`. announce: called with a sentence
    before anything is fetched. tell: called with a sentence if the files are other data than the
    source. Raises DataError if fetching fails or the files are not valid.
    """
    folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        return _fetch_openml(source, announce)
    named_by = "--data-dir" if data_dir else f"The environment variable {DATA_DIR_VARIABLE} ="
    paths = find_idx(Path(folder).expanduser(), source, named_by)
    return _read_idx_files(source, paths, tell)


def _read_idx_files(source: str, paths: Sequence[Path], tell: Callable[[str], None]) -> Raw:
    """Read four IDX files. Raises DataError if they do not fit together or to the source."""
    parts, shapes, arrays = [], [], []
    for images_path, labels_path in (paths[:2], paths[2:]):
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if len(images) != len(labels) or images.size == 0:
            raise DataError(
                f"{images_path} and {labels_path} must hold as many images as labels and at least "
                f"one, not {images.shape} and {labels.shape}."
            )
        parts.append(Part(images.reshape(len(images), -1), labels))
        shapes.append((images.shape[1], images.shape[2]))
        arrays += [images, labels]
    if shapes[0] != shapes[1]:
        raise DataError(f"{paths[0]} and {paths[2]} have images of unlike size: {shapes}.")
    folder, found = paths[0].parent, digests(arrays)
    if source != "mnist" and labels_of(found) == "mnist":
        raise DataError(f"The files in {folder} are MNIST's, not those of {source}.")
    if remark := told_apart(source, found, folder):
        tell(remark)
    return Raw(parts[0], None, parts[1], shapes[0], white=255)


def _fetch_openml(source: str, announce: Callable[[str], None]) -> Raw:
    """Fetch a source from OpenML. Raises DataError if it cannot be fetched."""
    from sklearn.datasets import fetch_openml, get_data_home

    name = OPENML_NAMES[source]
    announce(
        f"No IDX files of {source} at hand, so taking {name} from OpenML: downloaded once, then "
        f"kept in {get_data_home()}."
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Each retry warns; the error below says enough.
            # This is the only parser that does not need pandas.
            bunch = fetch_openml(name, version=1, as_frame=False, parser="liac-arff")
        X, y = bunch.data.astype(np.uint8), bunch.target.astype(np.int64)
    except (OSError, EOFError, HTTPException, ValueError) as error:
        raise DataError(
            f"{source} could not be fetched from OpenML ({error}): connect to the internet, or put "
            f"the four IDX files in a folder and name it with --data-dir or {DATA_DIR_VARIABLE}."
        ) from error
    n = _OPENML_TRAIN
    return Raw(Part(X[:n], y[:n]), None, Part(X[n:], y[n:]), (28, 28), white=255)
