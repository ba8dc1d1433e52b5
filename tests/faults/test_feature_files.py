"""Files of features that are not what they should be, or that change while they are used."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import HUNG, Finished, lockstep, start

pytestmark = pytest.mark.xdist_group("feature_files")  # so that its study is launched once

N, D = 240, 5
LAYERS = ("a", "b", "c")
STUDY = """
name = "layers"
[data]
features = ["a.npy", "b.npy", "c.npy"]
labels = "labels.npy"
split = "split.npy"
[model]
epochs = {epochs}
[space]
learning_rate = [0.1, 0.3]
weight_decay = [0]
batch_size = [4]
"""


def features(seed: int) -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(seed)
    X: npt.NDArray[np.float16] = (rng.normal(size=(N, D)) + labels()[:, None]).astype(np.float16)
    return X


def labels() -> npt.NDArray[np.intp]:
    return np.arange(N) % 3


def write(folder: Path, epochs: int = 2, **arrays: npt.NDArray[Any]) -> None:
    split = np.array(["train", "validation", "train", "test"])[np.arange(N) // 3 % 4]
    given = {name: features(seed) for seed, name in enumerate(LAYERS)}
    for name, array in (given | {"labels": labels(), "split": split} | arrays).items():
        np.save(folder / f"{name}.npy", array)
    (folder / "study.toml").write_text(STUDY.format(epochs=epochs))


def launched(folder: Path) -> Finished:
    return lockstep("launch", "study.toml", "--json", cwd=folder, warm_children=True)


def one_sentence(finished: Finished) -> str:
    assert finished.code == 2, finished.err
    lines = [line for line in finished.err.splitlines() if line.startswith("lockstep: ")]
    assert len(lines) == 1, finished.err
    assert "Traceback" not in finished.err
    return lines[0]


def with_value(value: float) -> npt.NDArray[np.float16]:
    X = features(1)
    X[17, 3] = value
    return X


TAKEN = np.zeros(N, [("x", "<f4"), ("y", "<f4")])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"b": with_value(np.nan)}, r"b\.npy must be finite .* has nan in row 17, column 3"),
        ({"b": features(1)[:-1]}, r"labels\.npy must be 239 .* rows of b\.npy"),
        ({"b": np.asfortranarray(features(1))}, r"b\.npy is saved column by column"),
        ({"b": features(1).astype(np.int64)}, r"b\.npy must be a matrix .* not int64"),
        ({"b": features(1)[:, :, None]}, r"b\.npy must be a matrix"),
        ({"b": features(1).astype(object)}, r"b\.npy holds Python objects"),
        ({"b": TAKEN}, r"b\.npy must be a matrix"),
        ({"b": features(1).astype(np.complex64)}, r"b\.npy must be a matrix"),
        ({"labels": np.where(np.arange(N) % 12 == 5, 9, labels())}, "labels that the training"),
        ({"split": np.full(N, "train")}, "puts rows only into train"),
    ],
    ids=[
        "nan", "rows", "by column", "integers", "three axes", "objects", "fields", "complex",
        "a class of one part", "no parts",
    ],
)  # fmt: skip
def test_one_sentence(tmp_path: Path, arrays: dict[str, npt.NDArray[Any]], said: str) -> None:
    write(tmp_path)
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=array.dtype == object)
    finished = launched(tmp_path)
    sentence = one_sentence(finished)
    assert re.search(said, sentence), sentence
    assert not (tmp_path / "mlflow.db").exists()


def test_big_endian_files_and_wide_floats_are_read(tmp_path: Path) -> None:
    write(tmp_path, b=features(1).astype(">f4"), c=features(2).astype(np.float64))
    finished = launched(tmp_path)
    assert finished.code == 0, finished.err
    assert finished.json["trials"]["complete"] == 6


def shorten(path: Path) -> None:
    os.truncate(path, 300)


def put_another(path: Path) -> None:
    np.save(path.with_name("other.npy"), features(99))
    path.with_name("other.npy").replace(path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The best trial of a study whose files do not change."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write(folder, epochs=250)
    finished = launched(folder)
    assert finished.code == 0, finished.err
    return finished.json["best"]


@pytest.mark.parametrize("change", [shorten, put_another])  # all of them: `test_survey.py`
def test_a_file_that_changes_during_a_launch(
    tmp_path: Path, undisturbed: Any, change: Callable[[Path], None]
) -> None:
    """It is noticed, what is finished is kept, and with the file as it was the study ends as an
    undisturbed one."""
    write(tmp_path, epochs=250)
    kept = (tmp_path / "c.npy").read_bytes()
    journal = tmp_path / "lockstep-home" / "layers" / "study.journal"
    process = start(
        "launch", "study.toml", "--home", "lockstep-home", "--workers", "1",
        cwd=tmp_path, warm_children=True,
    )  # fmt: skip
    deadline = time.monotonic() + HUNG
    while "lockstep.result" not in (journal.read_text() if journal.exists() else ""):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    change(tmp_path / "c.npy")
    out, err = process.communicate(timeout=HUNG)
    sentence = one_sentence(Finished(process.returncode, out, err))
    assert "c.npy" in sentence
    assert "changed since it was first read" in sentence or "cannot be read" in sentence
    (tmp_path / "c.npy").write_bytes(kept)
    again = lockstep(
        "launch", "study.toml", "--home", "lockstep-home", "--json",
        cwd=tmp_path, warm_children=True,
    )  # fmt: skip
    assert again.code == 0, again.err
    assert again.json["trials"]["complete"] == 6
    assert again.json["best"] == undisturbed
