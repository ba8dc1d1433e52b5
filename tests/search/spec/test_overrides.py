"""Keys of a study file on the command line: what is understood, and what is said to be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_study import small_spec, small_study, write_study

from search.errors import StudyFileError
from search.spec.named_study import named_study
from search.spec.overrides import Override, combined, overridden
from search.spec.recorded import read_record, write_record
from search.spec.study_spec import StudySpec
from search.spec.toml_text import parsed
from search.spec.toml_writer import toml


def named(folder: Path, *overrides: str, name: str | None = None, launch: bool = True) -> StudySpec:
    path = write_study(folder)
    return named_study(str(path), folder / "runs", overrides, name, to_launch=launch)


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("model.epochs=50", ("model", "epochs"), 50),
        ("space.batch_size=[16,64]", ("space", "batch_size"), [16, 64]),
        ("space.learning_rate = { low = 0.1, high = 1 }", ("space", "learning_rate"), None),
        ("search.sampler=tpe", ("search", "sampler"), "tpe"),
        ('search.sampler="tpe"', ("search", "sampler"), "tpe"),
        ("data.source=C:\\features.npz", ("data", "source"), "C:\\features.npz"),
        ('data.features."layer 1"=a.npy', ("data", "features", "layer 1"), "a.npy"),
        ("data.label=a=b", ("data", "label"), "a=b"),
        ("model.bias=true", ("model", "bias"), True),
    ],
)
def test_what_is_understood(text: str, keys: tuple[str, ...], value: object) -> None:
    override = Override.parsed(text)
    assert override.keys == keys
    assert override.value == ({"low": 0.1, "high": 1} if value is None else value)
    assert Override.parsed(str(override)) == override, "as it is recorded, it means the same"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.epochs", "give a key of the study file and its value, such as --set model.epochs"),
        ("model.epochs=", "give a key of the study file and its value"),
        ("=5", "give a key of the study file and its value"),
        ("model..epochs=5", "'model..epochs' is no key of a study file"),
        ("a b=5", "is no key of a study file"),
        ("space.batch_size=[1,", "the value is not valid TOML"),
        ("model.epochs.x=5", "model.epochs is 5, which has no keys"),
        ("model.epochs=0", "study.toml with --set model.epochs=0: model.epochs = 0: must be"),
        ("model.epoch=5", "unknown key model.epoch = 5: did you mean epochs?"),
        ("model.epochs=ten", "model.epochs = 'ten': give a whole number"),
        ("model.epochs=True", "model.epochs = 'True': give a whole number"),
        ("search.trials=5", "search.trials = 5: a grid runs all its points"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StudyFileError) as error:
        named(tmp_path, text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_they_are_part_of_the_identity(tmp_path: Path) -> None:
    spec = named(tmp_path, "model.epochs=7", "space.batch_size=[16]", "model.epochs=9")
    assert spec.model.epochs == 9, "the last one counts"
    assert spec.digest() == small_spec(epochs=9, batch_size=[16]).digest()
    assert spec.digest() != small_spec().digest()
    assert spec.variant is not None
    assert spec.variant.given == ("space.batch_size=[16]", "model.epochs=9")


def test_a_table_is_replaced_or_one_key_of_it(tmp_path: Path) -> None:
    spec = named(tmp_path, "space.weight_decay=[0.0]", "space.learning_rate.points=2")
    assert spec.space.weight_decay == (0.0,)
    assert spec.combinations() == 2 * 1 * 2
    whole = overridden({"space": {"a": 1, "b": 2}}, [Override(("space",), {"a": 3})])
    assert whole == {"space": {"a": 3}}


def test_later_ones_replace_what_is_below_them() -> None:
    low = Override(("space", "rate", "low"), 1)
    rate = Override(("space", "rate"), [1.0])
    high = Override(("space", "rate", "high"), 2)
    assert combined([low], [rate, high]) == (rate, high)


def test_a_variant_is_found_by_its_name(tmp_path: Path) -> None:
    spec = named(tmp_path, "model.epochs=9", name="nine")
    assert (spec.name, spec.argument) == ("nine", "nine")
    home = tmp_path / "runs"
    (home / "nine").mkdir(parents=True)
    write_record(spec.variant, "nine", home / "nine")
    found = named_study("nine", home)
    assert found.digest() == spec.digest()
    assert found.folder == tmp_path, "its data files are still named from where its file is"
    grown = named_study("nine", home, ["space.batch_size=[4,8,16]"], to_launch=True)
    assert grown.model.epochs == 9
    assert grown.argument == "nine"
    with pytest.raises(StudyFileError, match=r"'ten': no such study file.*there are: nine"):
        named_study("ten", home)


def test_a_study_under_its_own_name_is_read_as_it_was_launched(tmp_path: Path) -> None:
    spec = named(tmp_path, "model.epochs=9")
    assert spec.argument == str(tmp_path / "study.toml")
    home = tmp_path / "runs"
    (home / "small").mkdir(parents=True)
    write_record(spec.variant, "small", home / "small")
    assert named(tmp_path, launch=False).model.epochs == 9
    assert named(tmp_path, "model.epochs=4", launch=False).model.epochs == 4
    assert named(tmp_path, launch=True).model.epochs == 5, "a launch takes what it is told"
    write_record(None, "small", home / "small")
    assert named(tmp_path, launch=False).model.epochs == 5


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs" / "small").mkdir(parents=True)
    (tmp_path / "runs" / "small" / "launched.toml").write_text("folder = 3")
    with pytest.raises(StudyFileError, match=r"launched\.toml: damaged: launch the study again"):
        named(tmp_path, launch=False)


def test_the_name_of_another_study_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "other.toml").write_text(small_study(name="other"))
    with pytest.raises(StudyFileError, match="is a study file of this name"):
        named(tmp_path, name="other")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, plain, max_size=4))
def test_what_is_written_is_read_again(table: dict[str, object]) -> None:
    assert parsed(toml(table).encode(), Path("written.toml")) == table


def test_a_record_is_whole(tmp_path: Path) -> None:
    spec = named(tmp_path, 'description="\'quotes\' \\"and\\" é"', name="odd")
    write_record(spec.variant, "odd", tmp_path)
    assert read_record(tmp_path) == spec.variant
