from __future__ import annotations

import contextlib
import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.datasets.dataset import DataError
from core.datasets.idx import MAX_VALUE_BYTES, read_idx

Bytes = npt.NDArray[np.uint8]
arrays = st.sampled_from([1, 3]).flatmap(
    lambda ndim: hnp.arrays(np.uint8, hnp.array_shapes(min_dims=ndim, max_dims=ndim, min_side=0))
)


def encode(array: Bytes) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "some-idx3-ubyte"


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
TENS = np.full((10, 10, 10), 10, np.uint8)  # whose header has line ends too
MANY = np.random.default_rng(0).integers(0, 256, (40, 9, 9), np.uint8)


@given(array=arrays, compressed=st.booleans())
def test_round_trip(path: Path, array: Bytes, compressed: bool) -> None:
    path.write_bytes(gzip.compress(encode(array)) if compressed else encode(array))
    read = read_idx(path, array.ndim)
    assert read.shape == array.shape
    np.testing.assert_array_equal(read, array)


@given(data=st.data(), compressed=st.booleans())
def test_damage_is_read_or_refused_but_nothing_else(
    path: Path, data: st.DataObject, compressed: bool
) -> None:
    content = bytearray(gzip.compress(encode(IMAGES), mtime=0) if compressed else encode(IMAGES))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(DataError):
        assert read_idx(path, 3).ndim == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: get the file again"),
        (gzip.compress(b"", mtime=0), "is empty: get the file again"),
        (
            gzip.compress(gzip.compress(encode(IMAGES), mtime=0), mtime=0),
            "compressed by gzip twice: unpack it once",
        ),
        (b"\3\x08\0\0" + encode(IMAGES)[4:], "in little-endian byte order, but an IDX file is big"),
        (b"\0\0\x0c\3" + encode(IMAGES)[4:], r"holds int32, .* save it with .astype\(np.uint8\)"),
        (
            encode(IMAGES[:, None]),
            r"has 4 dimensions, .* three, \(N, H, W\); remove the axis of chan",
        ),
        (encode(TENS).replace(b"\n", b"\r\n"), "its line ends were converted .* copy it again as"),
        (encode(IMAGES).replace(b"\n", b"\r\n"), "its line ends were converted"),
        (gzip.compress(encode(MANY), mtime=0).replace(b"\n", b"\r\n"), "line ends were converted"),
        (b"\n <!DOCTYPE html><title>403</title>", "is a web page, not data"),
        (gzip.compress(b"<html>", mtime=0), "is a web page, not data"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "Git LFS, not the file .*git lfs pull",
        ),
        (b"PK\3\4" + bytes(99), "is a ZIP archive"),
        (encode(IMAGES[0, 0]), "are images and labels swapped"),
        (encode(IMAGES[0, 0]), "starts with 0x00000801, not 0x00000803"),
        (b"\0\0\x0d\3" + encode(IMAGES)[4:], "starts with 0x00000d03"),
        (encode(IMAGES)[:10], "ends within its header of 16 bytes"),
        (encode(IMAGES)[:-1], "claims 2 x 3 x 4 = 24 bytes of values, but has only 23"),
        (encode(IMAGES) + b"!", "but has more"),
        (
            struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1),
            f"the {MAX_VALUE_BYTES} allow",
        ),
        (
            gzip.compress(encode(IMAGES), mtime=0)[:-4],
            "cannot be read as an IDX file: Compressed file ended",
        ),
        (
            gzip.compress(encode(IMAGES), mtime=0) + b"!",
            "cannot be read as an IDX file: Not a gzipped file",
        ),
        (gzip.compress(encode(IMAGES) + bytes(9), mtime=0), "but has more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "absent", 1)
    with pytest.raises(DataError, match="Is a directory"):
        read_idx(tmp_path, 1)


@pytest.mark.parametrize(
    "content",
    [
        # Claims 2 GiB.
        lambda: struct.pack(">HBB3I", 0, 8, 3, 1024, 1024, 2048) + bytes(10),
        # A decompression bomb, made when it is needed.
        lambda: gzip.compress(encode(IMAGES) + bytes(64 * 1024**2), 1, mtime=0),
    ],
    ids=["claim", "bomb"],
)
def test_false_claims_cost_no_memory(path: Path, content: Callable[[], bytes]) -> None:
    path.write_bytes(content())
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024**2
    finally:
        tracemalloc.stop()


def test_mnist(mnist_dir: Path) -> None:
    (labels_path,) = mnist_dir.glob("t10k-labels*")
    labels = read_idx(labels_path, 1)
    assert labels.shape == (10_000,)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
