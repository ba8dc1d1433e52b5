"""Every kind of mistake in a study file, through the command line. All keys and values one by one
are tried in `search/spec/test_mistakes.py`, where it is quicker."""

from __future__ import annotations

import math
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import HUNG, LOCKSTEP, environment
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import damaged, small_study, write_study

from search.errors import StudyFileError
from search.spec.axes import Range
from search.spec.study_file import load
from search.spec.study_spec import MAX_TRIALS

Refused = Callable[..., str]

MILLION = {"space.learning_rate.points": 1000, "space.weight_decay.points": 500}
CLOSE = {"low": 0.1, "high": 0.10000000000000002, "points": 9}
MISTAKES: list[tuple[dict[str, object], list[str]]] = [
    ({"model.epoch": 4}, ["unknown key model.epoch = 4", "did you mean epochs?"]),
    ({"model.epochs": "4"}, ["model.epochs = '4'", "give a whole number"]),
    (
        {"space.learning_rate.low": 2},
        ["space.learning_rate", "low = 2 must be less than high = 1"],
    ),
    ({"space.learning_rate.low": 0}, ["space.learning_rate", "low = 0", "give one above 0"]),
    ({"space.learning_rate": []}, ["space.learning_rate = []", "give at least 1"]),
    (
        {"space.learning_rate": [0.1, 0.1]},
        ["space.learning_rate: 0.1 is listed twice", "list each value once"],
    ),
    ({"space.learning_rate": math.nan}, ["space.learning_rate"]),
    (
        {"space.learning_rate": [math.inf]},
        ["space.learning_rate.0 = inf", "give a finite number"],
    ),
    (
        {"space.learning_rate": CLOSE},
        ["space.learning_rate", "high = 0.10000000000000002", "too close for 9 points"],
    ),
    ({"space.learning_rate.points": 10001}, ["space.learning_rate.points = 10001", "10000"]),
    ({"space.batch_size": [16, 999]}, ["space.batch_size = 999", "218 rows", "give 218 at most"]),
    ({"baseline.batch_size": 219}, ["baseline.batch_size = 219", "give 218 at most"]),
    ({"data.classes": [3]}, ["data.classes = [3]", "give at least 2"]),
    ({"data.classes": [3, 11]}, ["[data]", "Classes 11", "labels are 0, 1, 2"]),
    ({"data.classes": [3, "3"]}, ["[data]", "Classes are repeated: 3"]),
    ({"data.source": "digit"}, ["[data]", "'digit'", "did you mean digits?"]),
    ({"data.source": "../digits.npz"}, ["[data]", "../digits.npz", "No such file"]),
    ({"data.validation_fraction": 0.001}, ["[data]", "fraction of 0.001", "from 2 to"]),
    ({"name": "../small"}, ["name = '../small'", "give lower-case letters"]),
    ({"name": "/etc/small"}, ["name = '/etc/small'", "give lower-case letters"]),
    ({"name": "x" * 10_000}, ["name = 'xxx", "at most 64"]),
    ({"description": "x" * 10_000}, ["description = 'xxx", "at most 500"]),
    ({"description": "\x1b[2J"}, [r"description = '\x1b[2J'", "control"]),
]


@pytest.mark.parametrize(("keys", "told"), MISTAKES, ids=[str(keys)[:48] for keys, _ in MISTAKES])
def test_a_mistake(
    tmp_path: Path, refused: Refused, keys: dict[str, object], told: list[str]
) -> None:
    write_study(tmp_path, small_study(keys))
    sentence = refused("launch", "study.toml")
    for part in ["study.toml", *told]:
        assert part in sentence


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[model]", "[model", ["not valid TOML", "line 13"]),
        ("[data]", "\x1b[2J = 1\n[data]", ["not valid TOML"]),
        ("a small study", "\udce9", ["not UTF-8 at byte 30", "save it as UTF-8"]),
    ],
    ids=["a bracket", "an escape sequence", "latin-1"],
)
def test_a_mistake_of_syntax(
    tmp_path: Path, refused: Refused, old: str, new: str, told: list[str]
) -> None:
    text = damaged(old, new)
    (tmp_path / "study.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    sentence = refused("launch", "study.toml")
    for part in ["study.toml", *told]:
        assert part in sentence


@pytest.mark.parametrize("study", ["absent", "../study", "/nowhere/study.toml", "a\nb", "x" * 9999])
def test_no_such_file(refused: Refused, study: str) -> None:
    for command in ("launch", "compare", "retrain", "ui"):
        assert "no such study file" in refused(command, study)


# -- more trials than anybody meant ------------------------------------------------------------


def test_a_grid_of_a_million_points_is_asked_about(tmp_path: Path, refused: Refused) -> None:
    """Where nobody can answer, it is refused."""
    write_study(tmp_path, small_study(MILLION))
    sentence = refused("launch", "study.toml")
    assert "study.toml: 1,000,000 trials" in sentence
    assert "--yes" in sentence


def answered(folder: Path, answer: str) -> subprocess.CompletedProcess[str]:
    """Launch a grid of a million points on a terminal, where somebody answers the question.

    One batch size is too large: the next mistake, for a launch that goes on.
    """
    write_study(folder, small_study(MILLION, batch_size=[16, 999]))
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    finished = subprocess.run(
        [str(LOCKSTEP), "launch", "study.toml"],
        cwd=folder, env=environment(), stdin=theirs, text=True, capture_output=True, timeout=HUNG,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert "1,000,000 trials are very many. Run them all? [y/N]" in finished.stderr
    assert [path.name for path in folder.iterdir()] == ["study.toml"]
    return finished


def test_a_person_says_no(tmp_path: Path) -> None:
    finished = answered(tmp_path, "n\n")
    assert finished.returncode == 130, finished.stderr
    assert "batch_size = 999" not in finished.stderr


def test_a_person_says_yes(tmp_path: Path) -> None:
    finished = answered(tmp_path, "y\n")
    assert finished.returncode == 2, finished.stderr
    assert "batch_size = 999" in finished.stderr


def test_yes_answers_beforehand(tmp_path: Path, refused: Refused) -> None:
    write_study(tmp_path, small_study(MILLION, batch_size=[16, 999]))
    assert "batch_size = 999" in refused("launch", "study.toml", "--yes")


def test_more_points_than_memory_holds_are_counted_not_made(
    tmp_path: Path, refused: Refused
) -> None:
    points = {"space.learning_rate.points": 10_000, "space.weight_decay.points": 10_000}
    write_study(tmp_path, small_study(points))
    sentence = refused("launch", "study.toml", "--yes")
    assert "200,000,000 combinations is more than the 1,000,000 allowed" in sentence
    assert "fewer points" in sentence
    write_study(tmp_path, small_study(sampler="random", trials=MAX_TRIALS + 1))
    assert "search.trials = 1000001" in refused("launch", "study.toml", "--yes")


@pytest.mark.timeout(120)
def test_a_very_long_list_is_read_at_once(tmp_path: Path, refused: Refused) -> None:
    """As long as a study file may be; looking for duplicates must not take its square."""
    sizes = ",".join(map(str, range(1, 150_000)))  # closer together than the builder writes them
    write_study(tmp_path, damaged("    8,", sizes, small_study(batch_size=[8])))
    assert "combinations" in refused("launch", "study.toml", "--yes")


# -- fuzz --------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_file_loads_or_is_told_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.toml"
    content = bytearray(small_study().encode())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "remove", "insert"])):
            case "change":
                content[place] = data.draw(st.integers(0, 255))
            case "remove":
                del content[place : place + data.draw(st.integers(1, 20))]
            case "insert":
                content[place:place] = data.draw(st.binary(max_size=8))
        content = content or bytearray(b" ")
    path.write_bytes(content)
    told = f"{path}: "
    try:
        assert 1 <= load(path).budget <= MAX_TRIALS
    except StudyFileError as error:
        told = str(error)
    assert told.startswith(f"{path}: ")
    assert told.isprintable()


@given(
    low=st.floats(0, 1e6, exclude_min=True),
    width=st.one_of(st.floats(0, 1), st.floats(0, 1e-12)),
    points=st.integers(2, 50),
    log=st.booleans(),
)
def test_a_range_has_all_its_points_or_is_refused(
    low: float, width: float, points: int, log: bool
) -> None:
    from search.spec.space import points as values

    try:
        axis = Range(low=low, high=low * (1 + width), log=log, points=points)
    except ValueError:
        return
    found = values(axis)
    assert len(found) == points
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (axis.low, axis.high)
