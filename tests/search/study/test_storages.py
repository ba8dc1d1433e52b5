"""Studies in other storages than a journal, in none, and those that are only read."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from driving import DIGEST, drive, journal, sampled, stored
from small_study import small_spec

from search.errors import LockstepError, NothingToShowError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.opening import load_study, open_study

# -- other storages ----------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [small_spec(), sampled("tpe", 12)], ids=["grid", "tpe"])
def test_sqlite(settings: Settings, tmp_path: Path, spec: StudySpec) -> None:
    elsewhere = replace(settings, storage=f"sqlite:///{tmp_path}/study.db")
    with open_study(spec, elsewhere, DIGEST) as study:
        drive(study, 5)
    with open_study(spec, elsewhere, DIGEST) as study:
        assert len(study.finished()) == 5
        drive(study)
        found = study.finished()
    assert [trial.number for trial in found] == list(range(study.budget))
    assert len(stored(elsewhere)) == study.budget
    with open_study(spec, settings, DIGEST) as study:
        drive(study)
        assert list(map(repr, study.finished())) == list(map(repr, found)), "as in a journal"
    assert list(map(repr, load_study(spec, elsewhere).finished())) == list(map(repr, found))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@127.0.0.1:1/db",
        "postgresql://:s3cret@127.0.0.1:1/db",
        "mysql+nothing://me:s3cret@host/db",
        "nothing://me:s3cret@host/db",
        "nothing://me:s3cret@host:port/db",
        "postgresql://me:s3cret@[::1/db",
        "nothing://host/db?user=me&password=s3cret",
        "s3cret@host",
        "sqlite:////nowhere/at/all/study.db",
        "",
    ],
)
def test_a_storage_that_cannot_be_opened(settings: Settings, url: str) -> None:
    elsewhere = replace(settings, storage=url)
    for use in (
        lambda: load_study(small_spec(), elsewhere),
        lambda: open_study(small_spec(), elsewhere, DIGEST).__enter__(),
    ):
        with pytest.raises(LockstepError) as caught:
            use()
        message = str(caught.value)
        assert message.startswith("--storage ")
        assert len(message.splitlines()) == 1
        assert ":s3cret" not in message
        assert "=s3cret" not in message


FIRST = {"grid": small_spec(), "random": sampled("random")}


@pytest.mark.parametrize("spec", FIRST.values(), ids=FIRST)
def test_a_first_launch_that_fails_without_a_result_leaves_no_study(
    settings: Settings, spec: StudySpec
) -> None:
    assert_no_study_is_left(settings, spec)


@pytest.mark.parametrize("spec", FIRST.values(), ids=FIRST)
def test_a_first_launch_that_fails_without_a_result_leaves_no_study_in_a_database(
    settings: Settings, tmp_path: Path, spec: StudySpec
) -> None:
    assert_no_study_is_left(replace(settings, storage=f"sqlite:///{tmp_path}/study.db"), spec)


def assert_no_study_is_left(settings: Settings, spec: StudySpec) -> None:
    """Of a launch that fails before it has recorded anything; what is recorded stays."""

    def failed_launch(recorded: int) -> None:
        with contextlib.suppress(LockstepError), open_study(spec, settings, DIGEST) as study:
            drive(study, recorded)
            study.next_cohort()
            raise LockstepError("the server does not answer")

    failed_launch(0)
    assert not settings.home.exists()
    with pytest.raises(NothingToShowError):
        load_study(spec, settings)
    failed_launch(1)
    failed_launch(0)
    assert len(load_study(spec, settings).finished()) == 1, "what has a result stays"


# -- reading -----------------------------------------------------------------------------------


def test_a_study_that_was_never_launched(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NothingToShowError, match=r"small has not been launched: run `lockstep"):
        load_study(small_spec(), settings)
    assert not settings.home.exists(), "looking creates nothing"
    elsewhere = replace(settings, storage=f"sqlite:///{tmp_path}/study.db")
    with pytest.raises(NothingToShowError, match="has not been launched"):
        load_study(small_spec(), elsewhere)


def test_a_study_whose_launch_was_killed_at_once(settings: Settings) -> None:
    journal(settings).parent.mkdir(parents=True)
    for content in (b"", b'{"op_code": 0, "wor'):
        journal(settings).write_bytes(content)
        with pytest.raises(NothingToShowError, match="has not been launched"):
            load_study(small_spec(), settings)


def test_reading_while_a_driver_writes(settings: Settings) -> None:
    with open_study(small_spec(), settings, DIGEST) as study:
        drive(study, 2)
        assert len(load_study(small_spec(), settings).finished()) == 2
        drive(study, 1)
        assert len(load_study(small_spec(), settings).finished()) == 3


def test_uses_of_the_test_set_are_counted(settings: Settings) -> None:
    first, second = {"trial": 3, "run_id": "a"}, {"trial": 3, "run_id": "b"}
    with open_study(small_spec(), settings, DIGEST) as study:
        assert study.test_evaluations() == []
        study.record_test_evaluation(first)
        assert study.test_evaluations() == [first]
    with open_study(small_spec(), settings, DIGEST) as study:
        study.record_test_evaluation(second)
    assert load_study(small_spec(), settings).test_evaluations() == [first, second]
