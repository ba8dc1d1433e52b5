"""Study files on disk: read, found, and refused if they are none."""

from __future__ import annotations

import codecs
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from layered import beside_layers
from refusal import refusal
from small_study import damaged, small_study, write_study

from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from search.errors import StudyFileError
from search.spec.axes import Range
from search.spec.solver_baseline import SolverBaseline
from search.spec.study_file import MAX_FILE_BYTES, find, load
from search.spec.study_spec import Baseline

REPOSITORY = Path(__file__).parents[3]

# -- files that load ---------------------------------------------------------------------------


def test_a_study_file(tmp_path: Path) -> None:
    spec = load(write_study(tmp_path))
    assert (spec.name, spec.description) == ("small", "a small study")
    assert spec.data.source == "digits"
    assert spec.data.classes == (3, 6)
    assert spec.model.penalty is Penalty.NORM
    assert spec.space.learning_rate == Range(low=1e-3, high=1.0, log=True, points=4)
    assert spec.space.batch_size == (16, 8)
    assert isinstance(spec.baseline, Baseline)
    assert spec.baseline.hyperparameters(spec) == Hyperparameters(0.001, 0.0001, 16)


def test_a_baseline_with_a_solver(tmp_path: Path) -> None:
    spec = load(write_study(tmp_path, small_study({"baseline": {"solver": "lbfgs"}})))
    assert spec.baseline == SolverBaseline(solver="lbfgs")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "studies").glob("*.toml")), ids=str)
def test_the_studies_that_come_with_lockstep_load(path: Path, tmp_path: Path) -> None:
    spec = load(beside_layers(path, tmp_path))
    assert spec.name == path.stem
    assert spec.baseline is not None


def test_what_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "least.toml"
    path.write_text(
        'name = "least"\ndata.source = "digits"\n[space]\nlearning_rate = [1]\n'
        "weight_decay = [0]\nbatch_size = [1]\n"
    )
    spec = load(path)
    assert spec.data.classes is None
    assert spec.data.validation_fraction == 0.2
    assert (spec.model.penalty, spec.model.epochs) == (Penalty.NORM, 100)
    assert (spec.search.sampler, spec.search.objective) == ("grid", "val_loss")
    assert spec.search.trials is None
    assert spec.baseline is None
    assert spec.space.learning_rate == (1.0,)
    assert type(spec.space.learning_rate[0]) is float


# -- files that are no study -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "this is UTF-16"),
        (small_study().encode("utf-16-be"), "this is UTF-16"),
        (b'name = "\xe9"', "not UTF-8 at byte 8: save it as UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than 1 MiB"),
        (b"x = " + b"[" * 5000, "not valid TOML"),
        (b"x = " + b"{a=" * 5000, "not valid TOML"),
        (b"", "name is missing"),
        (b"\x00", "not valid TOML"),
    ],
    ids=[
        "utf-16",
        "utf-16 without a mark",
        "latin-1",
        "too large",
        "deep lists",
        "deep tables",
        "empty",
        "nul",
    ],
)
def test_a_file_that_is_no_study(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    assert told in refusal(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.toml")
    assert "directory" in refusal(tmp_path)


def test_a_file_of_exactly_the_largest_size_loads(tmp_path: Path) -> None:
    content = small_study().encode()
    path = tmp_path / "large.toml"
    path.write_bytes(content + b"#" * (MAX_FILE_BYTES - len(content)))
    assert load(path).name == "small"


KEYS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["name", "data", "model", "space", "search", "baseline", "range", "values", "low", "high"]
        + [
            "log",
            "points",
            "learning_rate",
            "batch_size",
            "epochs",
            "seed",
            "penalty",
            "trials",
            "solver",
        ]
    ),
)
SCALARS = st.one_of(
    st.integers(),
    st.integers(10**30, 10**40),
    st.floats(),
    st.booleans(),
    st.text(max_size=80),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.sampled_from(["digits", "grid", "tpe", "norm", 0, 1, -1, 1e-3]),
)
VALUES = st.recursive(
    SCALARS,
    lambda each: st.one_of(st.lists(each, max_size=4), st.dictionaries(KEYS, each, max_size=4)),
    max_leaves=6,
)


def places(table: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every key, at every depth."""
    found = []
    for key, value in table.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += places(value, (*prefix, key))
    return found


@settings(max_examples=400)
@given(data=st.data())
def test_garbage_anywhere_loads_or_is_told_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.toml"
    table = tomllib.loads(small_study())
    *parents, key = data.draw(st.sampled_from(places(table)))
    inner = table
    for parent in parents:
        inner = inner[parent]
    if data.draw(st.booleans()):
        key = data.draw(KEYS)  # a key of its own beside it
    inner[key] = data.draw(VALUES)
    path.write_text(tomli_w.dumps(table))
    try:
        load(path)
    except StudyFileError:
        refusal(path)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_told_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(content)
    refusal(path)


# -- files beside it ---------------------------------------------------------------------------


def test_a_data_file_beside_the_study_file(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path = write_study(folder, small_study(source="features.npz"))
    assert load(path).data_sources()[""].name == "features.npz", (
        "not there: left to the working directory"
    )
    (folder / "features.npz").touch()
    assert load(path).data_sources()[""].name == str(folder / "features.npz")
    write_study(folder, small_study(source=f"{folder}/features.npz"))
    assert load(path).data_sources()[""].name == str(folder / "features.npz")
    (folder / "digits").touch()
    write_study(folder)
    assert load(path).data_sources()[""].name == "digits", "a name of a data set is no file"


def test_the_folder_of_a_study_file_does_not_define_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    here, elsewhere = write_study(tmp_path), write_study(tmp_path / "elsewhere")
    assert load(here).digest() == load(elsewhere).digest()


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyFileError, match="'mine': no such study file; give the path"):
        find("mine")
    (tmp_path / "studies").mkdir()
    for name in ("mine", "other"):
        (tmp_path / "studies" / f"{name}.toml").touch()
    assert find("mine") == Path("studies/mine.toml")
    assert find("studies/mine.toml") == Path("studies/mine.toml")
    assert find(str(tmp_path / "studies" / "mine.toml")).is_absolute()
    (tmp_path / "mine").mkdir()
    assert find("mine") == Path("studies/mine.toml"), "a folder is no study file"


@pytest.mark.parametrize("study", ["none", "../studies/none", "a/b", "x" * 5000, "a\0b", "a\nb"])
def test_find_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.toml").touch()
    with pytest.raises(StudyFileError) as caught:
        find(study)
    assert re.search("no such study file; in studies/ there are: mine", str(caught.value))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


def test_find_what_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    for name in ("study.toml", "studies/mine.toml"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.toml")
    for study, told in {
        "study": "no such study file; did you mean study.toml?",
        "./study": "no such study file; did you mean ./study.toml?",
        "study.toml ": "no such study file; did you mean study.toml?",
        "mine.toml": "no such study file; did you mean studies/mine.toml?",
        "studies/mine": "no such study file; did you mean studies/mine.toml?",
        "stduy.toml": "no such study file; did you mean study.toml?",
        "studies": "this is a folder; give the path of a study file in it (mine.toml)",
        ".": "this is a folder; give the path of a study file in it (pipe.toml, study.toml)",
        "pipe.toml": "this is no regular file; save the study in a file, and give its path",
        "": "no study is named; perhaps a variable of the shell is empty",
    }.items():
        with pytest.raises(StudyFileError) as caught:
            find(study)
        assert str(caught.value) == f"{study!r}: {told}"


LOOK_ALIKES = {
    "epochs = 5": ("epochs =\u00a05", "U+00A0 (no-break space): type a space instead"),
    "epochs": ("\u200bepochs", "U+200B (zero width space): type nothing instead"),
    '"small"': ("“small”", 'U+201C (left double quotation mark): type " instead'),
    '"digits"': ('"digits”', 'U+201D (right double quotation mark): type " instead'),
    '"norm"': ("„norm“", 'U+201E (double low-9 quotation mark): type " instead'),
    "0.25": ("\u22120.25", "U+2212 (minus sign): type - instead"),
}


@pytest.mark.parametrize("old", LOOK_ALIKES)
def test_a_character_that_only_looks_right_is_named_with_its_place(
    tmp_path: Path, old: str
) -> None:
    new, told = LOOK_ALIKES[old]
    text = damaged(old, new)
    odd = next(character for character in text if not character.isascii())
    line = text[: text.index(odd)].count("\n") + 1
    column = text.index(odd) - text.rfind("\n", 0, text.index(odd))
    said = refusal(write_study(tmp_path, text))
    assert said.endswith(f"not valid TOML: line {line}, column {column} has {told}")


def test_a_letter_that_is_not_ascii_is_no_mistake(tmp_path: Path) -> None:
    text = damaged('"a small study"', '"für „uns“ – 1 × 2" x')
    assert "Expected newline" in refusal(write_study(tmp_path, text))
    assert load(write_study(tmp_path, damaged('"a small study"', '"für „uns“"'))).description


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            '"digits"',
            '"C:\\Users\\me\\data.npz"',
            "write / for it, or put the text in single quotes",
        ),
        ("epochs = 5", "epochs = 5\nx = { low = 1,\n high = 2 }", "must stand in one line"),
    ],
)
def test_mistakes_of_syntax_with_a_remedy(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in refusal(write_study(tmp_path, damaged(old, new)))


def test_a_byte_order_mark_is_no_part_of_a_study(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(codecs.BOM_UTF8 + small_study().encode())
    assert load(path).digest() == load(write_study(tmp_path)).digest()
