"""Tables that are damaged or not what they should be, through the command line. More of them in
`core/datasets/test_tables.py`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import lockstep
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import FEW, small_study, write_study

from core.datasets.dataset import DataError
from core.datasets.source import Source
from core.datasets.sources import load_source

Refused = Callable[..., str]

LAUNCH = ("launch", "study.toml")
rng = np.random.default_rng(0)
Y = np.repeat(["cat", "dog"], 60)
X = rng.normal(size=(120, 3)) + (Y == "dog")[:, None]
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "class": Y})
WHO = np.arange(120) // 10


def study(**keys: object) -> str:
    data = {"source": "my.csv", "classes": None, "label": "class"} | keys
    return small_study({f"data.{key}": value for key, value in data.items()}, **FEW)


def text(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False)


@pytest.mark.parametrize(
    ("content", "keys", "told"),
    [
        (None, {}, "my.csv cannot be read: No such file"),
        ("", {}, "my.csv is empty"),
        ("version https://git-lfs.github.com/spec/v1\n", {}, "my.csv is a pointer of Git LFS, not"),
        ("<html><body>Sign in</body></html>\n", {}, "my.csv is a web page, not data"),
        (text(FRAME), {"label": "klass"}, "my.csv has no column klass, which data.label names"),
        (text(FRAME[["class"]]), {}, "my.csv has no columns of features"),
        (text(FRAME).replace("dog", "", 1), {}, "Column class in my.csv has no value in 1 of 120"),
        (
            text(FRAME.assign(b=FRAME["b"].where(FRAME.index != 7), c=None)),
            {},
            "121 missing values (1 in b, 120 in c; first in row 1)",
        ),
        (
            text(FRAME.assign(a=FRAME["a"].astype(object).where(FRAME.index != 6, "high"))),
            {},
            "Column a in my.csv holds numbers, but 'high' in row 7: correct it, or leave",
        ),
        (text(FRAME.assign(a="u")), {}, "columns that are not numbers: a (a has u): encode them"),
        (text(FRAME), {"label": "a", "ignore": ["class"]}, "looks like regression"),
        (text(FRAME), {"split": "class"}, "'class' is named for two purposes"),
        (text(FRAME.assign(part="train")), {"split": "part"}, "puts rows only into train"),
        (text(FRAME.assign(part="tain")), {"split": "part"}, "has the value 'tain' in row 1"),
        (text(FRAME.assign(who=Y)), {"groups": "who"}, "is in 1 of 2 groups ('cat')"),
        (
            text(FRAME.assign(part=np.resize(["train", "train", "val", "test"], 120))),
            {"split": "part"},
            "validation_fraction = 0.25: my.csv has a validation part of its own; leave it out",
        ),
    ],
    ids=range(16),
)
def test_a_table(
    tmp_path: Path, refused: Refused, content: str | None, keys: dict[str, object], told: str
) -> None:
    write_study(tmp_path, study(**keys))
    if content is not None:
        (tmp_path / "my.csv").write_text(content)
    sentence = refused(*LAUNCH)
    assert "study.toml: " in sentence
    assert told in sentence


def test_what_is_odd_is_told_and_trained(tmp_path: Path) -> None:
    odd = FRAME.assign(same=3.5, twin=FRAME["b"])
    odd = pd.concat([odd, odd.iloc[:40]])
    (tmp_path / "my.csv").write_text(text(odd))
    write_study(tmp_path, study())
    launched = lockstep("launch", "study.toml", cwd=tmp_path)
    assert launched.code == 0, launched.err
    assert "are also in an earlier part, where training sees them" in launched.out
    place = "in the training part of my.csv"
    assert f"1 feature has one value {place}, and says nothing: same" in launched.out
    assert f"1 feature equals an earlier one {place}: twin = b" in launched.out


TABLES: list[tuple[str, bytes]] = []
for suffix in (".csv", ".parquet"):
    buffer = io.BytesIO()
    if suffix == ".csv":
        FRAME.to_csv(buffer, index=False)
    else:
        FRAME.to_parquet(buffer, index=False)
    TABLES.append((suffix, buffer.getvalue()))


@settings(max_examples=200)
@given(data=st.data(), place=st.sampled_from([0, 1]))
def test_a_damaged_table_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, place: int
) -> None:
    suffix, whole = TABLES[place]
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    told = str(path)
    try:
        load_source(Source(str(path), label="class"), None, None, print, print)
    except DataError as error:
        told = str(error)
    assert told.isprintable()
    assert str(path) in told or "Class" in told or "lasses" in told
    assert len(told) < 2 * len(str(path)) + 500


@settings(max_examples=100)
@given(content=st.text(max_size=200), label=st.sampled_from(["a", "b"]))
def test_any_text_is_a_table_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: str, label: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(f"a,b\n{content}".encode("utf-8", "surrogatepass"))
    told = ""
    try:
        load_source(Source(str(path), label=label), None, None, print, print)
    except DataError as error:
        told = str(error)
    assert told.isprintable() or not told
