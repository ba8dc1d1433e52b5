"""The names of studies that are proposed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.proposal.study_text import study_name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("My Data (2).csv", "my-data-2"),
        ("a/b/iris.parquet", "iris"),
        ("_x.npy", "x"),
        ("…….csv", "study"),
        ("x" * 100 + ".csv", "x" * 64),
        ("breast-cancer", "breast-cancer"),
    ],
)
def test_names(file: str, name: str) -> None:
    assert study_name(file) == name


@given(st.text(max_size=100))
def test_every_name_becomes_one_that_a_study_may_have(file: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", study_name(file))
