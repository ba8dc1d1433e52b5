"""Data files that are damaged, hostile or not what they should be, through the command line. More
of them, and how much memory they cost, in `test_idx.py` and `test_sources.py`."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import lockstep
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import load
from small_study import small_study, write_study

from core.datasets.dataset import DataError
from core.datasets.idx import read_idx

Refused = Callable[..., str]

NPZ = small_study(source="mine.npz", classes=None)
MNIST = small_study(source="mnist")
LAUNCH = ("launch", "study.toml", "--data-dir", ".")

rng = np.random.default_rng(0)
Y = np.repeat(["cat", "dog"], 60)
X = rng.normal(size=(120, 6)) + (Y == "dog")[:, None]
X.flags.writeable = False


def changed(place: int, value: float) -> Any:
    array = X.copy()
    array[place] = value
    return array


def saved(save: Callable[..., None] = np.savez, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **{"X": X, "y": Y} | arrays)
    return buffer.getvalue()


def npy(shape: tuple[int, ...], content: bytes = b"", descr: str = "<f8") -> bytes:
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


PIXELS = np.zeros((120, 2, 3), np.int64)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a valid .npz file"),
        (b"X,y\n1,2\n", "not a valid .npz file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "mine.npz is a pointer of Git LFS, not"),
        (b"<!DOCTYPE html>\n", "mine.npz is a web page, not data"),
        (npy((2,), bytes(16)), "mine.npz is a NumPy array: give it the ending .npy"),
        (saved()[:-30], "not a valid .npz file"),
        (saved()[:700] + b"garbage" * 9 + saved()[763:], "not a valid .npz file"),
        (saved(X=changed(7, np.nan)), "X in mine.npz must be finite in float32"),
        (saved(X=changed(7, np.inf)), "to inf"),
        (saved(X=changed(7, 1e300)), "to 1e+300"),
        (saved(X=PIXELS + 256), "X in mine.npz has integer pixels from 256 to 256: save them as"),
        (saved(X=PIXELS - 1), "integer pixels from -1 to -1"),
        (saved(X=np.zeros((120, 6), np.uint16) + 256, image_shape=[2, 3]), "integer pixels from"),
        (saved(X=X.astype(object)), "X.npy in mine.npz holds Python objects, which are not safe"),
        (saved(y=Y.astype(object)), "y.npy in mine.npz holds Python objects, which are not safe"),
        (saved(X=X * 1j), "X in mine.npz must be numbers, not complex128: save their absolute"),
        (saved(y=np.arange(120)), "Class '0' has 1 example"),
        (saved(y=np.full(120, "cat")), "At least two classes are needed, got cat"),
        (saved(y=np.where(Y == "dog", "\x1b[2J", "cat")), r"y in mine.npz has the label '\x1b[2J'"),
        (saved(y=np.where(Y == "dog", "\ud800", "cat")), "labels must be printable"),
        (saved(y=np.where(Y == "dog", "d" * 201, "cat")), "200 characters at most"),
        (saved(y=Y[:100]), "y in mine.npz must be 120 integers or strings"),
        (zipped(X=npy((120, 6), X.tobytes())), "mine.npz must hold X, y, but lacks y"),
        (saved(X_test=X), "lacks y_test"),
        (zipped(X=npy((10**6, 10**6)), y=npy((2,), bytes(16))), "claims 8000000000000 bytes"),
        (zipped(X=npy((10**30,)), y=npy((2,), bytes(16))), "claims 8" + "0" * 30),
        (zipped(X=npy((1,) * 64, bytes(8)), y=npy((1,), bytes(8))), "must be numbers of the shape"),
        (zipped(X=npy((-1, 6)), y=npy((2,), bytes(16))), "mine.npz"),
        (zipped(X=b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 9999, y=b""), "not a valid .npz file"),
    ],
    ids=range(29),
)
def test_an_npz_file(tmp_path: Path, refused: Refused, content: bytes, told: str) -> None:
    write_study(tmp_path, NPZ)
    (tmp_path / "mine.npz").write_bytes(content)
    sentence = refused(*LAUNCH)
    assert "study.toml: [data]: " in sentence
    assert told in sentence


def test_no_npz_file(tmp_path: Path, refused: Refused) -> None:
    write_study(tmp_path, NPZ)
    sentence = refused(*LAUNCH)
    assert "study.toml: [data]: " in sentence
    assert "mine.npz cannot be read: No such file" in sentence


def test_a_decompression_bomb(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose header is honest: it is as large as it says, which is too much to trust."""
    monkeypatch.setattr("core.datasets.npz.TRUSTED_BYTES", 1024**2)
    bomb = npy((1_000_000, 6), bytes(48_000_000))
    (tmp_path / "mine.npz").write_bytes(zipped(X=bomb, y=npy((1_000_000,), bytes(8_000_000))))
    assert (tmp_path / "mine.npz").stat().st_size < 100_000
    write_study(tmp_path, NPZ)
    sentence = refused(*LAUNCH)
    assert "would unpack to 56000" in sentence
    assert "np.savez" in sentence


def test_nothing_is_unpickled(tmp_path: Path, refused: Refused) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    content = saved(X=np.array([Trap()] * 120, dtype=object))
    assert b"sprung" in content
    (tmp_path / "mine.npz").write_bytes(content)
    write_study(tmp_path, NPZ)
    assert "Python objects" in refused(*LAUNCH)
    assert not (tmp_path / "sprung").exists()


def idx(array: Any, kind: int = 8, claimed: tuple[int, ...] | None = None) -> bytes:
    shape = claimed or array.shape
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + array.tobytes()


IMAGES = rng.integers(0, 256, (60, 4, 4), np.uint8)
LABELS = np.arange(60, dtype=np.uint8) % 10


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (b"", idx(LABELS), "is empty: get the file again"),
        (b"\x89PNG\r\n\x1a\n", idx(LABELS), "starts with 0x89504e47, not 0x00000803"),
        (idx(LABELS), idx(LABELS), "starts with 0x00000801, not 0x00000803"),
        (idx(IMAGES, kind=0x0D), idx(LABELS), "starts with 0x00000d03"),
        (idx(IMAGES)[:-1], idx(LABELS), "has only 959"),
        (idx(IMAGES) + b"!", idx(LABELS), "has more"),
        (idx(IMAGES, claimed=(2**32 - 1,) * 3), idx(LABELS), "more than the 2147483648 allowed"),
        (idx(IMAGES, claimed=(2000, 1000, 1000)), idx(LABELS), "has only 960"),
        (gzip.compress(idx(IMAGES))[:-9], idx(LABELS), "cannot be read as an IDX file"),
        (gzip.compress(idx(IMAGES) + bytes(10**7), 1), idx(LABELS), "has more"),
        (gzip.compress(idx(IMAGES))[:99] + bytes(999), idx(LABELS), "as an IDX file"),
        (idx(IMAGES), idx(LABELS[:59]), "as many images as labels"),
        (idx(IMAGES[:0]), idx(LABELS[:0]), "at least one"),
        (idx(IMAGES), idx(LABELS * 0), "Classes 3, 6 are not in mnist, whose labels are 0"),
        (idx(IMAGES), idx(LABELS + 100), "Classes 3, 6 are not in mnist"),
    ],
    ids=range(15),
)
def test_idx_files(
    tmp_path: Path, refused: Refused, images: bytes, labels: bytes, told: str
) -> None:
    write_study(tmp_path, MNIST)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    sentence = refused(*LAUNCH)
    assert "study.toml: [data]: " in sentence
    assert told in sentence


# -- what is odd, but data ---------------------------------------------------------------------


ZERO = np.zeros((120, 6))
ONE_VARIES = np.stack([0 * (Y == "dog"), np.full(120, 0.5), Y == "dog"], axis=1)


@pytest.mark.parametrize(
    ("array", "accuracy"), [(ZERO, 0.5), (ONE_VARIES, 1.0)], ids=["all zero", "one varies"]
)
def test_constant_features_are_trained(tmp_path: Path, array: Any, accuracy: float) -> None:
    """They say little or nothing, but nothing is wrong with them."""
    (tmp_path / "mine.npz").write_bytes(saved(X=array))
    text = small_study(
        source="mine.npz", classes=None, learning_rate=[0.1, 1.0], weight_decay=[0.0, 0.5]
    )
    write_study(tmp_path, text)
    finished = lockstep("launch", "study.toml", "--json", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.json["trials"]["complete"] == 8
    assert finished.json["best"]["val_accuracy"] == accuracy


# -- fuzz --------------------------------------------------------------------------------------


def assert_read_or_refused(path: Path, read: Callable[[], object]) -> None:
    """With one sentence that names the file."""
    told = f"{path} is read"
    try:
        read()
    except DataError as error:
        told = str(error)
    assert told.isprintable()
    assert str(path) in told
    assert len(told) < len(str(path)) + 400


@settings(max_examples=200)
@given(content=st.binary(max_size=400), head=st.sampled_from([b"", b"\0\0\x08\x03", b"\x1f\x8b"]))
def test_any_bytes_are_an_idx_file_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, head: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-idx3-ubyte"
    path.write_bytes(head + content)
    assert_read_or_refused(path, lambda: read_idx(path, 3))


DAMAGED = [saved(), saved(np.savez_compressed), saved(X_test=X, y_test=Y, image_shape=[2, 3])]


@pytest.mark.filterwarnings("ignore")  # NumPy's, on headers of a form that Python 2 wrote
@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_npz_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """In its headers, mostly, where it hurts."""
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    content = bytearray(data.draw(st.sampled_from(DAMAGED)))
    for _ in range(data.draw(st.integers(1, 5))):
        near = data.draw(st.sampled_from([b"PK\x01\x02", b"PK\x03\x04", b"NUMPY", b"PK\x05\x06"]))
        start = content.find(near)
        if start >= 0:
            place = min(start + data.draw(st.integers(0, 120)), len(content) - 1)
            content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    assert_read_or_refused(path, lambda: load(str(path), None, None, lambda said: None))
