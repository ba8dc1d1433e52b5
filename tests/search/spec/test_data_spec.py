"""The table [data] of a study file: its mistakes, and the files that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from refusal import refusal
from small_study import small_spec, small_study, write_study

from search.spec.study_file import load
from search.spec.study_spec import differences

CSV = {"source": "my.csv", "label": "class"}
MISTAKES: list[tuple[dict[str, object], tuple[str, ...]]] = [
    ({"source": "my.csv"}, ("data: label is missing", 'label = "class"')),
    ({"source": "X.npy"}, ("data: labels is missing", 'labels = "y.npy"')),
    ({"label": "a"}, ("data: label = 'a': it is for tables only", "'digits'; leave label out")),
    ({"source": "a.npz", "label": "a"}, ("label = 'a': it is for tables only", "'a.npz'")),
    ({"source": "a.npz", "labels": "y.npy"}, ("labels = 'y.npy': it is for .npy files only",)),
    ({"split": "a"}, ("split = 'a': it is for files only", "leave split out")),
    ({"source": "iris", "groups": "a"}, ("groups = 'a': it is for files only",)),
    (
        {"source": "a.npz", "categorical": "one-hot"},
        ("categorical = 'one-hot': it is for tables only",),
    ),
    (CSV | {"categorical": "1-hot"}, ("data.categorical = '1-hot'", "'one-hot'")),
    ({"ignore": ["a"]}, ("ignore = ['a']: it is for tables and .npz files only",)),
    (CSV | {"ignore": "b"}, ("data.ignore = 'b'", "give a list")),
    (CSV | {"ignore": ["b", "b"]}, ("data.ignore: 'b' is listed twice",)),
    (CSV | {"ignore": [""]}, ("data.ignore.0 = ''", "at least 1")),
    (CSV | {"split": "class"}, ("data: 'class' is named for two purposes: give it one",)),
    (CSV | {"ignore": ["class"]}, ("'class' is named for two purposes",)),
    (CSV | {"groups": "g", "split": "g"}, ("'g' is named for two purposes",)),
    (CSV | {"label": ""}, ("data.label = ''", "at least 1")),
    (CSV | {"label": 3}, ("data.label = 3", "text in quotes")),
    (
        {"source": "X.npy", "labels": "y.npz"},
        ("labels = 'y.npz': give the path of an .npy file",),
    ),
]


def data_keys(keys: dict[str, Any]) -> dict[str, object]:
    return {f"data.{key}": value for key, value in keys.items()}


@pytest.mark.parametrize(("keys", "told"), MISTAKES, ids=[str(keys)[:60] for keys, _ in MISTAKES])
def test_a_mistake_is_told_in_one_sentence(
    tmp_path: Path, keys: dict[str, object], told: tuple[str, ...]
) -> None:
    message = refusal(write_study(tmp_path, small_study(data_keys(keys))))
    for part in told:
        assert part in message


@pytest.mark.parametrize(
    "keys",
    [
        {"label": "species"},
        {"categorical": "one-hot"},
        {"split": "part"},
        {"groups": "who"},
        {"ignore": ["id"]},
    ],
)
def test_what_defines_the_data(keys: dict[str, object]) -> None:
    before = small_spec(data_keys(CSV)).defining()
    after = small_spec(data_keys(CSV | keys)).defining()
    (change,) = differences(before, after)
    assert change.startswith(f"data.{next(iter(keys))}: ")


def test_files_beside_the_study_file(tmp_path: Path) -> None:
    keys = {"source": "X.npy", "labels": "y.npy", "groups": "g.npy"}
    path = write_study(tmp_path, small_study(data_keys(keys)))
    for name in ("X.npy", "y.npy"):
        (tmp_path / name).touch()
    source = load(path).data_sources()[""]
    assert (source.name, source.labels) == (str(tmp_path / "X.npy"), str(tmp_path / "y.npy"))
    assert source.groups == "g.npy", "not there: left to the working directory"


def test_columns_are_no_files(tmp_path: Path) -> None:
    path = write_study(tmp_path, small_study(data_keys({"source": "a.npz", "split": "s.npy"})))
    (tmp_path / "s.npy").touch()
    assert load(path).data_sources()[""].split == "s.npy"
