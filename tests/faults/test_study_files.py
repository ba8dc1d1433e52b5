"""Every kind of mistake in a study file, through the command line. All keys and values one by one
are tried in `test_study_spec.py`, where it is quicker."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import HUNG, LOCKSTEP, SMALL, environment
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import StudyFileError
from search.spec.axes import Range
from search.spec.study_file import load
from search.spec.study_spec import MAX_TRIALS

Refused = Callable[..., str]

RATE = "{ low = 1e-3, high = 1.0, log = true, points = 4 }"
NAME = 'name = "small"'
MILLION = SMALL.replace("points = 4", "points = 1000").replace("points = 3", "points = 500")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[model]", "[model", ["not valid TOML", "line 7"]),
        ("epochs = 4", "epoch = 4", ["unknown key model.epoch = 4", "did you mean epochs?"]),
        ("epochs = 4", 'epochs = "4"', ["model.epochs = '4'", "give a whole number"]),
        ("low = 1e-3", "low = 2", ["space.learning_rate", "low = 2 must be less than high = 1"]),
        ("low = 1e-3", "low = 0", ["space.learning_rate", "low = 0", "give one above 0"]),
        (RATE, "[]", ["space.learning_rate = []", "give at least 1"]),
        (RATE, "[0.1, 0.1]", ["space.learning_rate: 0.1 is listed twice", "list each value once"]),
        (RATE, "nan", ["space.learning_rate"]),
        (RATE, "[inf]", ["space.learning_rate.0 = inf", "give a finite number"]),
        ("[16, 64]", "[16, 999]", ["space.batch_size = 999", "218 rows", "give 218 at most"]),
        ("batch_size = 16", "batch_size = 219", ["baseline.batch_size = 219", "give 218 at most"]),
        ("[3, 6]", "[3]", ["data.classes = [3]", "give at least 2"]),
        ("[3, 6]", "[3, 11]", ["[data]", "Classes 11", "labels are 0, 1, 2"]),
        ("[3, 6]", '[3, "3"]', ["[data]", "Classes are repeated: 3"]),
        ('"digits"', '"digit"', ["[data]", "'digit'", "did you mean digits?"]),
        ('"digits"', '"../digits.npz"', ["[data]", "../digits.npz", "No such file"]),
        (NAME, 'name = "../small"', ["name = '../small'", "give lower-case letters"]),
        (NAME, 'name = "/etc/small"', ["name = '/etc/small'", "give lower-case letters"]),
        (NAME, f'name = "{"x" * 10_000}"', ["name = 'xxx", "at most 64"]),
        (NAME, f'{NAME}\ndescription = "{"x" * 10_000}"', ["description = 'xxx", "at most 500"]),
        (NAME, f'{NAME}\ndescription = "\\u001b[2J"', [r"description = '\x1b[2J'", "control"]),
        (NAME, f"{NAME}\n\x1b[2J = 1", ["not valid TOML"]),
        (NAME, f'{NAME}\ndescription = "\udce9"', ["not UTF-8 at byte 31", "save it as UTF-8"]),
        ("points = 4", "points = 10001", ["space.learning_rate.points = 10001", "10000"]),
        ("= 0.25", "= 0.001", ["[data]", "fraction of 0.001", "from 2 to"]),
        (
            RATE,
            "{ low = 0.1, high = 0.10000000000000002, points = 9 }",
            ["space.learning_rate", "high = 0.10000000000000002", "too close for 9 points"],
        ),
    ],
    ids=lambda value: value[:32].strip() if isinstance(value, str) else "",
)
def test_a_mistake(tmp_path: Path, refused: Refused, old: str, new: str, told: list[str]) -> None:
    assert SMALL.count(old) >= 1
    text = SMALL.replace(old, new, 1)
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
    (tmp_path / "study.toml").write_text(MILLION)
    sentence = refused("launch", "study.toml")
    assert "study.toml: 1,000,000 trials" in sentence
    assert "--yes" in sentence


@pytest.mark.parametrize(("answer", "code"), [("n\n", 130), ("y\n", 2)])
def test_a_person_is_asked(tmp_path: Path, answer: str, code: int) -> None:
    """On a terminal. With yes the launch goes on: here to the next mistake, a batch too large."""
    (tmp_path / "study.toml").write_text(MILLION.replace("[16, 64]", "[16, 999]"))
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    finished = subprocess.run(
        [str(LOCKSTEP), "launch", "study.toml"],
        cwd=tmp_path, env=environment(), stdin=theirs, text=True, capture_output=True, timeout=HUNG,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert finished.returncode == code, finished.stderr
    assert "1,000,000 trials are very many. Run them all? [y/N]" in finished.stderr
    assert ("batch_size = 999" in finished.stderr) == (code == 2)
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


def test_yes_answers_beforehand(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "study.toml").write_text(MILLION.replace("[16, 64]", "[16, 999]"))
    assert "batch_size = 999" in refused("launch", "study.toml", "--yes")


def test_more_points_than_memory_holds_are_counted_not_made(
    tmp_path: Path, refused: Refused
) -> None:
    text = SMALL.replace("points = 4", "points = 10000").replace("points = 3", "points = 10000")
    (tmp_path / "study.toml").write_text(text)
    sentence = refused("launch", "study.toml", "--yes")
    assert "200,000,000 combinations is more than the 1,000,000 allowed" in sentence
    assert "fewer points" in sentence
    sampled = SMALL + f'[search]\nsampler = "random"\ntrials = {MAX_TRIALS + 1}\n'
    (tmp_path / "study.toml").write_text(sampled)
    assert "search.trials = 1000001" in refused("launch", "study.toml", "--yes")


@pytest.mark.timeout(120)
def test_a_very_long_list_is_read_at_once(tmp_path: Path, refused: Refused) -> None:
    """As long as a study file may be; looking for duplicates must not take its square."""
    sizes = ",".join(map(str, range(1, 150_000)))
    (tmp_path / "study.toml").write_text(SMALL.replace("[16, 64]", f"[{sizes}]"))
    assert "combinations" in refused("launch", "study.toml", "--yes")


# -- fuzz --------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_file_loads_or_is_told_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.toml"
    content = bytearray(SMALL.encode())
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
