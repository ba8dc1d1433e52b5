"""Of how many trials the weights are kept, from the study file and the size of the data."""

from __future__ import annotations

import pytest
from small_study import SMALL_TRIALS, small_spec

from search.spec.kept_weights import LEAST, ROOM, weights_kept


@pytest.mark.parametrize(
    ("asked", "finalists", "expected"),
    [("all", 0, None), (5, 0, 5), (5, 7, 7), (50, 0, 50), (None, 0, None)],
)
def test_the_study_file_says_it(asked: object, finalists: int, expected: int | None) -> None:
    spec = small_spec({"search.keep_weights": asked, "search.finalists": finalists})
    assert weights_kept(spec, 64, 10) == expected


def test_by_default_as_many_as_there_is_room_for() -> None:
    spec = small_spec()
    assert weights_kept(spec, ROOM // 4 // SMALL_TRIALS, 1) is None
    assert weights_kept(spec, ROOM // 4 // (SMALL_TRIALS - 1) + 1, 1) == SMALL_TRIALS - 2
    assert weights_kept(spec, 10**6, 1000) == LEAST
    assert weights_kept(small_spec(finalists=20), 10**6, 1000) == 20
    timed = small_spec(sampler="random", minutes=5)
    assert weights_kept(timed, 768, 1000) == ROOM // (4 * 768 * 1000) == 349
    assert weights_kept(timed, 64, 2) is None, "more than any study has"


def test_folds_have_weights_of_their_own() -> None:
    spec = small_spec(
        {"data.folds": 5, "data.validation_fraction": None}, sampler="random", minutes=5
    )
    assert weights_kept(spec, 768, 1000) == ROOM // (6 * 4 * 768 * 1000)


def test_it_does_not_define_the_numbers() -> None:
    digests = {small_spec(keep_weights=each).digest() for each in ("all", 3, None)}
    assert digests == {small_spec().digest()}
