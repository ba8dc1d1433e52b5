"""Tables: .csv, .tsv and .parquet files, as people have them and as they should not be."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.datasets.dataset import DataError
from core.datasets.loaded import Loaded
from core.datasets.source import Source
from core.datasets.sources import load_source
from core.datasets.tables import read_table

TEXT = """height,width,colour,site,class
1.5,2,red,a,cat
2.5,3,blue,a,dog
-1e1,4,red,b,cat
0,5,blue,c,dog
"""


def silent(said: str) -> None:
    pytest.fail(said)


def read(path: Path, label: str | None = "class", **keys: Any) -> Loaded:
    return load_source(Source(str(path), label=label, **keys), None, None, silent, silent)


def table(folder: Path, text: str, name: str = "my.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def written(folder: Path, suffix: str) -> Path:
    path = table(folder, TEXT)
    frame = pd.read_csv(path)
    if suffix == ".parquet":
        frame.to_parquet(folder / "my.parquet")
    elif suffix == ".tsv":
        frame.to_csv(folder / "my.tsv", sep="\t", index=False)
    return folder / f"my{suffix}"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix)
    found = read(path, ignore=("colour", "site")).train
    assert found.feature_names == ("height", "width")
    assert found.class_names == ("cat", "dog")
    assert found.y.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(found.X, [[1.5, 2], [2.5, 3], [-10, 4], [0, 5]])
    assert found.image_shape is None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_texts_one_hot(tmp_path: Path, suffix: str) -> None:
    found = read(written(tmp_path, suffix), categorical="one-hot", groups="site")
    assert found.train.feature_names == ("height", "width", "colour=blue", "colour=red")
    np.testing.assert_array_equal(found.train.X[:, 2:], [[0, 1], [1, 0], [0, 1], [1, 0]])
    assert found.groups is not None
    assert found.groups.tolist() == ["a", "a", "b", "c"]


def test_the_same_table_in_every_format_is_the_same_data(tmp_path: Path) -> None:
    keys = {"categorical": "one-hot"}
    digests = {
        read(written(tmp_path, suffix), **keys).train.digest
        for suffix in (".csv", ".tsv", ".parquet")
    }
    assert len(digests) == 1


def test_names_change_the_digest_and_only_where_there_are_any(tmp_path: Path) -> None:
    one = read(table(tmp_path, "a,b,class\n1,2,x\n3,4,y\n")).train
    other = read(table(tmp_path, "a,c,class\n1,2,x\n3,4,y\n")).train
    assert one.digest != other.digest
    assert one.take(np.array([1])).feature_names == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("10", "9"), ("9", "10")),
        (("1.0", "0.0"), ("0", "1")),
        (("01", "1"), ("01", "1")),
        (("true", "false"), ("false", "true")),
        (("None", "NA n"), ("NA n", "None")),
        (("-1", "1"), ("-1", "1")),
    ],
)
def test_labels_in_a_table(tmp_path: Path, labels: tuple[str, str], names: tuple[str, str]) -> None:
    first, second = labels
    found = read(table(tmp_path, f"a,class\n1,{first}\n2,{second}\n")).train
    assert found.class_names == names
    assert [found.class_names[label] for label in found.y] == [
        str(int(float(each))) if "." in each else each for each in labels
    ]


@pytest.mark.parametrize("dtype", ["bool", "int8", "float32", "category", "string"])
def test_labels_in_parquet(tmp_path: Path, dtype: str) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "class": pd.Series([0, 1, 1]).astype(dtype)})
    frame.to_parquet(tmp_path / "my.parquet")
    found = read(tmp_path / "my.parquet").train
    assert found.class_names == (("False", "True") if dtype == "bool" else ("0", "1"))
    assert found.y.tolist() == [0, 1, 1]


def test_truth_values_and_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = '\ufeffis it,"a, b",class\nTrue,"1",x\nFalse,2,"y\n z"\n'
    path = table(tmp_path, text.replace("\n z", " z"))
    found = read(path).train
    assert found.feature_names == ("is it", "a, b")
    assert found.class_names == ("x", "y z")
    np.testing.assert_array_equal(found.X, [[1, 1], [0, 2]])


def test_a_split_column(tmp_path: Path) -> None:
    rows = ["train,x,1", "Training,y,2", "val,x,3", "validation,y,4", "test,x,5", " test ,y,6"]
    path = table(tmp_path, "part,class,a\n" + "\n".join(rows) + "\n")
    found = read(path, split="part")
    assert found.validation is not None
    assert found.test is not None
    parts = (found.train, found.validation, found.test)
    assert [part.X[:, 0].tolist() for part in parts] == [[1, 2], [3, 4], [5, 6]]
    halves = read(table(tmp_path, "part,class,a\ntrain,x,1\ntrain,y,2\ntest,x,3\n"), split="part")
    assert halves.validation is None


ROWS = "".join(f"{i},{i % 3},{'xy'[i % 2]}\n" for i in range(30))

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("a,b,class\n1,2,x\n", {"label": "klass"}, "has no column klass, which data.label names: its "),
    ("class\nx\ny\n", {}, "has no columns of features"),
    ("a,class\n1,x\n2,y\n", {"ignore": ("a",)}, "has no columns of features"),
    ("a,class\n1,x\n2,y\n", {"ignore": ("b",)}, "no column b, which data.ignore names"),
    ("a,class\n1,x\n2,y\n", {"split": "b"}, "no column b, which data.split names"),
    ("a,a,class\n1,1,x\n2,2,y\n", {}, "more than one column named a"),
    (",a,class\n1,1,x\n2,2,y\n", {}, "Column 1 in .* has no name"),
    ("1,2,3\n4,5,6\n", {"label": "3"}, r"must name the columns, and has only numbers \(1, 2, 3\)"),
    ("a;class\n1;x\n2;y\n", {}, "separate columns by a comma, not by ';'"),
    ("a\tclass\n1\tx\n", {}, r"separate columns by a comma, not by '\\t'"),
    ("", {}, "is empty"),
    ("a,class\n", {}, "has no rows"),
    ("a,class\n1,x\n2,y,z\n", {}, r"Expected 2 fields in line 3, saw 3"),
    ("a,class\n1,x,0\n2,y,0\n", {}, "not a valid .csv file"),
    (
        "a,b,class\n1,,x\n?,3,y\n,4,x\n",
        {},
        r"3 missing values \(2 in a, 1 in b; first in row 1\)",
    ),
    ("a,class\n1,x\n2,\n", {}, "Column class in .* has no value in 1 of 2 rows, first in row 2"),
    ("a,class\n1,x\n2,y\n3,x\nfour,y\n", {}, "Column a in .* holds numbers, but 'four' in row 4"),
    ("a,class\n1,x\n2,y\nn,x\nfour,y\n5,x\n", {}, "'n' in row 3, and in 1 other rows"),
    ("a,class\nu,x\nv,y\n", {}, r"not numbers: a \(a has u, v\): .* categorical = \"one-hot\""),
    ("a,class\n1,x\n1e39,y\n", {}, r"Column a in .* has 1e\+39 in row 2"),
    ("a,class\n1,x\ninf,y\n", {}, "Column a in .* has inf in row 2"),
    (
        "a,class\n" + "".join(f"{i},{i / 7}\n" for i in range(40)),
        {},
        "Column class in .* 40 different numbers .*: this looks like regression",
    ),
    (
        "a,class\n" + "".join(f"{i},{1000 * i}.0\n" for i in range(40)),
        {},
        "this looks like regression",
    ),
    ("a,class\n1,0.5\n2,1\n", {}, "has the label 0.5: floats must be whole numbers"),
    ("a,b,class\n" + ROWS, {"split": "b"}, "Column b in .* '0' in row 1: each must be train, val"),
    (
        "a,b,class\n" + ROWS.replace(",0,", ",train,").replace(",1,", ",train,"),
        {"split": "b"},
        "'2' in row 3",
    ),
    ("a,b,class\n1,train,x\n2,train,y\n", {"split": "b"}, "puts rows only into train"),
    ("a,b,class\n1,test,x\n2,val,y\n", {"split": "b"}, "puts rows only into validation and test"),
    ("a,b,class\n1,train,x\n2,train,y\n3,test,z\n", {"split": "b"}, "training part has not: z"),
    (
        "a,b,g,class\n1,train,g1,x\n2,train,g2,y\n3,test,g2,x\n",
        {"split": "b", "groups": "g"},
        r"rows of group 'g2' \(g\) both in train and in test",
    ),
    (
        "a,id,class\n" + "".join(f"{i},id{i},{'xy'[i % 2]}\n" for i in range(30)),
        {"categorical": "one-hot"},
        r"Column id in .* has 30 different texts .* ignore = \[\"id\"\]",
    ),
    ("a\x1b[2J,class\n1,x\n2,y\n", {}, "Column 1 in .* names must be printable and of 200"),
    ("a" * 201 + ",class\n1,x\n2,y\n", {}, "Column 1 in .* is named 'aaa.*…': names must be"),
]


@pytest.mark.parametrize(("text", "keys", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refused(tmp_path: Path, text: str, keys: dict[str, Any], message: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read(path, **keys)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(path)) + 450


@pytest.mark.parametrize("content", [b"a,class\n1,\xff\n", b"\x00\x01\x02", b'"a'])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_bytes_that_are_no_table(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"my{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    if suffix == ".csv" and b"\xff" in content:
        assert "is not UTF-8" in str(caught.value)


def test_text_of_other_programs(tmp_path: Path) -> None:
    """Excel's "CSV UTF-8" begins with a byte order mark; its "Unicode text" is UTF-16."""
    path, text = tmp_path / "my.CSV", 'label,a\n"x",1\ny,2\n'
    path.write_bytes(text.encode("utf-8-sig"))
    assert list(read_table(path, ()).columns) == ["label", "a"]
    assert read_table(path, ())["label"].tolist() == ["x", "y"]
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(DataError, match='is UTF-16, which Excel calls "Unicode text": save it as'):
        read_table(path, ())


def test_parquet_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.parquet"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(path)
    pd.DataFrame({"a": [[1, 2], [3, 4]], "class": [0, 1]}).to_parquet(path)
    with pytest.raises(DataError, match=r"Column a in .* holds list<"):
        read(path)
    pd.DataFrame({"a": [1, None, 3], "class": [0, 1, 1]}).to_parquet(path)
    with pytest.raises(DataError, match="1 missing values"):
        read(path)
    pd.DataFrame({"a": pd.to_datetime(["2024-01-01"] * 3), "class": [0, 1, 1]}).to_parquet(path)
    with pytest.raises(DataError, match="columns that are not numbers: a"):
        read(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"not a valid .parquet file"):
        read(path)


def test_a_table_that_would_fill_memory_is_refused_first(tmp_path: Path) -> None:
    """A row may be short, but takes the memory of a whole one."""
    path = table(tmp_path, ",".join(f"c{i}" for i in range(100_000)) + "\n" + "1\n" * 100_000)
    with pytest.raises(DataError, match="100,000 columns, which take"):
        read(path, label="c0")


def test_tens_of_thousands_of_columns(tmp_path: Path) -> None:
    """Time that grows with their square would be seen: it would be a minute for 100,000."""
    n = 30_000
    header = ",".join(f"c{i}" for i in range(n))
    rows = "".join("1," * n + "xy"[i % 2] + "\n" for i in range(6))
    path = table(tmp_path, f"{header},class\n{rows}")
    start = time.process_time()
    assert read(path).train.X.shape == (6, n)
    assert time.process_time() - start < 6
    few = table(tmp_path, ",".join(f"c{i}" for i in range(5_000)) + "\n" + "1," * 4_999 + "1\n")
    with pytest.raises(DataError, match=r"its columns are c0, .* more") as caught:
        read(few, label="klass")
    assert len(str(caught.value)) < len(str(path)) + 400


@pytest.mark.parametrize(
    ("name", "rows", "features", "classes"),
    [
        ("iris", 150, 4, ("setosa", "versicolor", "virginica")),
        ("wine", 178, 13, ("class_0", "class_1", "class_2")),
        ("breast-cancer", 569, 30, ("benign", "malignant")),
    ],
)
def test_embedded_tables(name: str, rows: int, features: int, classes: tuple[str, ...]) -> None:
    found = load_source(Source(name), None, None, silent, silent)
    assert found.train.X.shape == (rows, features)
    assert found.train.class_names == classes
    assert found.train.feature_names is not None
    assert found.train.image_shape is None
    if name == "iris":
        assert found.train.feature_names[0] == "sepal length (cm)"
        assert found.train.counts().tolist() == [50, 50, 50]
