from __future__ import annotations

import contextlib
import gzip
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loading import load

from core.datasets.dataset import DataError
from core.datasets.idx import read_idx
from core.datasets.mnist import DATA_DIR_VARIABLE
from core.datasets.published import PUBLISHED, told_apart

Bytes = npt.NDArray[np.uint8]


def silent(_: str) -> None:
    pytest.fail("announced a download")


def write_idx(path: Path, array: Bytes) -> None:
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


IMAGES = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3) * 7
LABELS = np.array([2, 0, 1, 1, 0, 2], dtype=np.uint8)


def write_mnist_like(folder: Path, name: str = "{}-{}-{}-ubyte") -> Path:
    """Six training and three test images in ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", slice(None)), ("t10k", slice(3))):
        write_idx(folder / name.format(part, "images", "idx3"), IMAGES[rows])
        write_idx(folder / name.format(part, "labels", "idx1"), LABELS[rows])
    return folder


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)


def test_digits() -> None:
    train, test = load("digits", None, None, silent)
    assert test is None
    assert train.X.shape == (1797, 64)
    assert train.class_names == tuple("0123456789")
    assert train.image_shape == (8, 8)
    assert (train.X.min(), train.X.max()) == (0, 1)
    assert train.X[0, 2] == 5 / 16
    assert train.counts().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_mnist_3_against_6(mnist_dir: Path) -> None:
    train, test = load("mnist", [3, 6], mnist_dir, silent)
    assert test is not None
    assert train.X.shape == (12_049, 784)
    assert train.counts().tolist() == [6_131, 5_918]
    assert test.counts().tolist() == [1_010, 958]
    assert train.class_names == test.class_names == ("3", "6")
    assert train.image_shape == (28, 28)
    assert np.flatnonzero(train.X.any(axis=0)).size == 656
    assert train.X.max() == 1


def test_class_order_and_spelling() -> None:
    forward, _ = load("digits", [3, 6], None, silent)
    backward, _ = load("digits", ["6", 3], None, silent)
    assert backward.class_names == ("6", "3")
    np.testing.assert_array_equal(forward.X, backward.X)
    np.testing.assert_array_equal(forward.y, 1 - backward.y)


@pytest.mark.parametrize(
    ("source", "classes", "message"),
    [
        ("digits", [3], "At least two classes are needed, got 3 of digits"),
        ("digits", [], "got none"),
        ("digits", [3, "3", 6], "repeated: 3"),
        ("digits", [3, 11, "six"], "Classes 11, six are not in digits, whose labels are 0, 1, 2"),
        ("mnits", None, r"'mnits': known are digits, iris, .* \.parquet; did you mean mnist\?"),
        ("kmnist", None, r"'kmnist': .* \.parquet\. Save other data as \.npz with X and y\.$"),
        ("data.xlsx", None, r"Unknown data source 'data.xlsx': .*\.npz, .*\.parquet\.$"),
    ],
)
def test_unknown_names(source: str, classes: list[int | str] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(source, classes, None, silent)


@pytest.mark.parametrize("place", ["fashion-mnist", "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["{}-{}-{}-ubyte", "{}-{}.{}-ubyte"])
def test_idx_files_are_found(tmp_path: Path, place: str, name: str, suffix: str) -> None:
    write_mnist_like(tmp_path / place, name + suffix)
    train, test = load("fashion-mnist", None, tmp_path, silent)
    assert test is not None
    assert train.class_names == ("0", "1", "2")
    assert train.image_shape == (2, 3)
    np.testing.assert_array_equal(train.X, IMAGES.reshape(6, 6) / np.float32(255))
    assert train.y.tolist() == LABELS.tolist()
    assert test.y.tolist() == LABELS[:3].tolist()


def test_the_variable_names_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist_like(tmp_path / "mnist")
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))
    assert len(load("mnist", None, None, silent)[0]) == 6
    with pytest.raises(DataError, match=r"^--data-dir .*other: there is no such folder"):
        load("mnist", None, tmp_path / "other", silent)


@pytest.mark.parametrize("place", ["MNIST/raw", "MNIST", "raw"])
def test_files_as_torchvision_keeps_them(tmp_path: Path, place: str) -> None:
    write_mnist_like(tmp_path / place)
    assert len(load("mnist", None, tmp_path, silent)[0]) == 6
    if place != "raw":
        with pytest.raises(DataError, match=f"there are {place.partition('/')[0]}"):
            load("fashion-mnist", None, tmp_path, silent)


def test_files_in_folders_of_their_names(tmp_path: Path) -> None:
    for file in list(write_mnist_like(tmp_path).iterdir()):
        moved = file.rename(tmp_path / "moved")
        file.mkdir()
        moved.rename(file / file.name)
    assert len(load("mnist", None, tmp_path, silent)[0]) == 6


def test_a_folder_without_the_files_is_refused_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped LOCKSTEP_DATA is no reason to fetch anything."""
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path / "mistyped"))
    with pytest.raises(DataError, match=r"variable LOCKSTEP_DATA = .*mistyped: there is no such"):
        load("mnist", None, None, silent)
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match=r"has no IDX files of mnist, .* there are no files in it"):
        load("mnist", None, None, silent)
    write_mnist_like(tmp_path, "emnist-letters-{}-{}-{}-ubyte")
    with pytest.raises(DataError, match="there are emnist-letters-t10k-images-idx3-ubyte"):
        load("mnist", None, None, silent)
    (write_mnist_like(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="lacks the IDX files t10k-labels-idx1-ubyte"):
        load("mnist", None, None, silent)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:3], LABELS[:2], r"not \(3, 2, 3\) and \(2,\)"),
        (IMAGES[:3, :1], LABELS[:3], r"unlike size: \[\(2, 3\), \(1, 3\)\]"),
        (IMAGES[:0], LABELS[:0], "at least one"),
    ],
)
def test_unequal_idx_files(tmp_path: Path, images: Bytes, labels: Bytes, message: str) -> None:
    folder = write_mnist_like(tmp_path)
    write_idx(folder / "t10k-images-idx3-ubyte", images)
    write_idx(folder / "t10k-labels-idx1-ubyte", labels)
    with pytest.raises(DataError, match=message):
        load("mnist", None, folder, silent)


def test_data_under_mnists_names_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    load("mnist", None, write_mnist_like(tmp_path), silent, said.append)
    (told,) = said
    assert told.startswith(f"the files in {tmp_path} are not MNIST as it was published")
    assert "train-images, train-labels, t10k-images, t10k-labels differ" in told
    assert told.endswith("the study goes on with what they hold")


@pytest.mark.parametrize("compressed", ["", ".gz"])
def test_mnist_is_silent_and_its_labels_are_known(
    mnist_dir: Path, tmp_path: Path, compressed: str
) -> None:
    """However its files are compressed."""
    load("mnist", [3, 6], mnist_dir, silent, silent)
    names = [
        f"{part}-{what}-ubyte"
        for part in ("train", "t10k")
        for what in ("images-idx3", "labels-idx1")
    ]
    for name in names:
        (original,) = mnist_dir.glob(f"{name}*")
        array = read_idx(original, 1 if "labels" in name else 3)
        write_idx(tmp_path / f"{name}{compressed}", array[:, ::-1] if "t10k-im" in name else array)
    said: list[str] = []
    load("mnist", [3, 6], tmp_path, silent, said.append)
    assert ["MNIST's labels, but other images (t10k-images differ" in each for each in said] == [
        True
    ]


def test_fashion_mnist_is_not_taken_for_mnist(tmp_path: Path) -> None:
    """Which is known by the digests that its authors publish."""
    told = told_apart("mnist", PUBLISHED["fashion-mnist"], tmp_path)
    assert told is not None
    assert told.startswith(f"the files in {tmp_path} are Fashion-MNIST's, not MNIST's")
    assert 'source = "fashion-mnist"' in told
    assert told_apart("fashion-mnist", PUBLISHED["fashion-mnist"], tmp_path) is None


def test_mnist_is_not_taken_for_fashion_mnist(mnist_dir: Path) -> None:
    with pytest.raises(DataError, match="are MNIST's, not those of fashion-mnist"):
        load("fashion-mnist", None, mnist_dir, silent)


@pytest.mark.parametrize(
    ("source", "name"), [("mnist", "mnist_784"), ("fashion-mnist", "Fashion-MNIST")]
)
def test_openml(source: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(fetched: str, **options: object) -> SimpleNamespace:
        """Labels go 3, 4, 5, 3, ... and two pixels are lit."""
        assert fetched == name
        assert options == {"version": 1, "as_frame": False, "parser": "liac-arff"}
        X = np.zeros((70_000, 784), dtype=np.uint8)  # floats there, but lighter so
        X[59_999, 0], X[60_001, 0] = 51, 102
        return SimpleNamespace(data=X, target=np.resize(np.array(list("345"), object), 70_000))

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    said: list[str] = []
    train, test = load(source, [4, 5], None, said.append)
    assert test is not None
    assert [name in sentence for sentence in said] == [True]
    assert train.counts().tolist() == [20_000, 20_000]
    assert test.counts().tolist() == [3_333, 3_333]
    assert (train.X[-1, 0], test.X[0, 0]) == (np.float32(0.2), np.float32(0.4))
    assert train.image_shape == (28, 28)


def test_without_network_both_remedies_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> None:
        warnings.warn("Retrying...", stacklevel=1)
        raise OSError("no route")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(DataError, match=r"connect to the internet, .* --data-dir or LOCKSTEP"):
        load("mnist", None, None, lambda _: None)


X = np.array([[0.0, 2.0], [1.5, -3.0], [0.5, 1.0], [0.0, 0.0]])
Y = np.array(["b", "a", "b", "c"])


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npz") / "mine.npz"


def test_npz(npz: Path) -> None:
    np.savez_compressed(npz, X=X, y=Y, X_test=X[:3], y_test=Y[:3], image_shape=[2, 1])
    train, test = load(str(npz), ["b", "a"], None, silent)
    assert test is not None
    np.testing.assert_array_equal(train.X, X[:3].astype(np.float32))
    assert train.y.tolist() == test.y.tolist() == [0, 1, 0]
    assert train.image_shape == test.image_shape == (2, 1)
    assert load(str(npz), None, None, silent)[0].class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("features", "expected", "shape"),
    [
        (np.array([[0, 255], [51, 0]], dtype=np.uint8), [[0, 1], [0.2, 0]], None),
        (np.array([[0, 255], [51, -1]], dtype=np.int16), [[0, 255], [51, -1]], None),
        (np.array([[False, True], [True, True]]), [[0, 1], [1, 1]], None),
        (np.array([[0, 255], [51, 0.5]], dtype=">f8", order="F"), [[0, 255], [51, 0.5]], None),
        (np.array([[[0], [1]], [[2], [3]]], dtype=np.float16), [[0, 1], [2, 3]], (2, 1)),
    ],
)
def test_npz_features(npz: Path, features: Any, expected: list[Any], shape: object) -> None:
    np.savez(npz, X=features, y=[10, 9])
    train, test = load(str(npz), None, None, silent)
    assert test is None
    np.testing.assert_array_equal(train.X, np.array(expected, dtype=np.float32))
    assert train.class_names == ("9", "10")
    assert train.image_shape == shape


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": None}, "must hold X, y, but lacks y"),
        ({"X": None, "y": None, "features": X}, "lacks X, y"),
        ({"X_test": X}, "must hold X, y, X_test, y_test, but lacks y_test"),
        ({"X": X[:, 0]}, r"not float64 \(4,\)"),
        ({"X": X[:, :0]}, r"none of these 0, not float64 \(4, 0\)"),
        ({"X": X.astype(complex)}, "not complex128"),
        ({"X": X.astype(str)}, "X in .* must be numbers, not <U32: save numbers, or a table"),
        (
            {"X": X.astype("M8[D]")},
            "X in .* must be numbers, not datetime64.*: save them as numbers",
        ),
        ({"X": np.where(X == 1.5, np.nan, X)}, "must be finite in float32, .*1 missing values"),
        ({"X": np.where(X == 1.5, -np.inf, X)}, "from -inf to 2.0"),
        ({"X": X * 1e39}, r"must be finite in float32, .* from -3e\+39 to 2e\+39"),
        ({"y": Y[:3]}, r"y in .* must be 4 integers or strings .*, not <U1 \(3,\)"),
        ({"y": np.array([print, 0, 1, 2], dtype=object)}, "y.npy in .* holds Python objects"),
        ({"y": X[:, 0]}, "y in .* has the label 0.5: floats must be whole"),
        ({"y": np.array([0, 0, 0, 0])}, "At least two classes are needed, got 0"),
        ({"X_test": X[:, :1], "y_test": Y}, r"must be alike .* \(2,\) and float64 \(1,\)"),
        ({"X_test": np.uint8(X[:1] > 0), "y_test": Y[:1]}, "both or neither be uint8"),
        (
            {"X_test": X, "y_test": ["a", "b", "z", "d"]},
            "that the training part has not: d, z",
        ),
        ({"X_test": X + np.inf, "y_test": Y}, "X_test in .* finite"),
        ({"image_shape": [1, 3]}, r"that fit X of the shape \(4, 2\), not \[1 3\]"),
        ({"image_shape": [-1, -2]}, "two positive integers"),
        ({"image_shape": [1.0, 2.0]}, "two positive integers"),
        ({"X": X[:, None], "image_shape": [2, 1]}, "that fit"),
    ],
)
def test_npz_refused(npz: Path, arrays: dict[str, Any], message: str) -> None:
    every: dict[str, Any] = {"X": X, "y": Y} | arrays
    np.savez(npz, **{name: array for name, array in every.items() if array is not None})
    with pytest.raises(DataError, match=message) as caught:
        load(str(npz), None, None, silent)
    assert str(npz) in str(caught.value)


def npy_header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_header((10**9, 10**4)) + bytes(64), "claims 80000000000000 bytes of .*, but has 64"),
        (npy_header((10**15,), "<U0"), r"X in .* must be numbers"),
        (npy_header((2, 4)) + bytes(65), "claims 64 bytes of values, but has 65"),
        (npy_header((1,)) + bytes(32 * 1024**2), "claims 8 bytes"),  # a decompression bomb
        (b"\x93NUMPY\x09\x00", "not a valid .npz file"),
        (b"nonsense", "not a valid .npz file"),
    ],
    ids=("terabytes", "no width", "a byte more", "a bomb", "no version", "no array"),
)
def test_npz_false_claims_cost_no_memory(npz: Path, content: bytes, message: str) -> None:
    with zipfile.ZipFile(npz, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", content)
        archive.writestr("y.npy", npy_header((2,), "<i8") + bytes(16))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            load(str(npz), None, None, silent)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024**2
    finally:
        tracemalloc.stop()


def test_npz_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some.npz"
    with pytest.raises(DataError, match="cannot be read: No such file or directory"):
        load(str(path), None, None, silent)
    path.write_text("X,y")
    with pytest.raises(DataError, match=r"not a valid \.npz file: File is not a zip file"):
        load(str(path), None, None, silent)
    np.savez(path, X=X, y=Y)
    monkeypatch.setattr("core.datasets.npz.MAX_UNPACKED_BYTES", 300)
    with pytest.raises(DataError, match="bytes, more than 300 allowed"):
        load(str(path), None, None, silent)


@pytest.mark.filterwarnings("ignore")  # NumPy's, on headers of a form that Python 2 wrote
@given(data=st.data(), compressed=st.booleans())
def test_npz_damage_raises_data_error(npz: Path, data: st.DataObject, compressed: bool) -> None:
    (np.savez_compressed if compressed else np.savez)(npz, X=X, y=Y)
    content = bytearray(npz.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    npz.write_bytes(content)
    with contextlib.suppress(DataError):
        load(str(npz), None, None, silent)
