"""How a study is named on the command line, in what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import small_spec, small_study

from search.spec.study_file import find, load


@pytest.mark.parametrize(
    ("place", "argument"),
    [
        ("studies/some.toml", "some"),
        ("mine.toml", "mine.toml"),
        ("else where/mine.toml", "'else where/mine.toml'"),
    ],
)
def test_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, argument: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(place)
    path.parent.mkdir(exist_ok=True)
    path.write_text(small_study())
    assert load(path).argument == argument
    assert find(argument.strip("'")) == path


def test_a_study_of_no_file_is_named() -> None:
    assert small_spec().argument == "small"
