"""Studies that grow, as their storage has them: numbers stand, whatever is interrupted."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from driving import DIGEST, drive, sequence, stored
from services import Services
from small_study import NO_KEYS, Options, small_spec

from core.trainer.result import Hyperparameters
from search.errors import StudyChangedError
from search.settings import Settings
from search.spec.space import grid, points
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.opening import load_study, open_study
from search.study.samplers import sampler_for
from search.study.widened import AsDrawnNow, has_widened
from search.training.stacks import stacks

RANGE = {"low": 1e-3, "high": 1.0, "log": True, "points": 4}
FIRST = Options(
    learning_rate={"low": 0.01, "high": 1.0, "log": True, "points": 2},
    weight_decay=[0.0, 0.1],
    batch_size=[16],
)
# In front, behind and between; a value becomes a list; a range becomes a list.
THEN = Options(
    learning_rate={"low": 1e-4, "high": 100.0, "log": True, "points": 4},
    weight_decay=[0.05, 0.0, 0.1],
    batch_size=[8, 16],
    bias=[True, False],
)
LAST: Options = {
    **THEN,
    "learning_rate": [1e-5, *points(small_spec(**THEN).space.learning_rate), 0.5],
    "weight_decay": {"low": 0.0, "high": 0.1, "points": 5},
    "batch_size": [4, 8, 16],
    "schedule": ["constant", "cosine"],
}
SPECS = [small_spec(**each) for each in (FIRST, THEN, LAST)]
SIZES = [4, 48, 360]


@pytest.fixture(params=["journal", "sqlite"])
def anywhere(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else None
    return replace(settings, storage=url)


def assert_grows(settings: Settings) -> None:
    """From one specification to the next, interrupted in each."""
    before: list[tuple[int, Hyperparameters]] = []
    for spec, size in zip(SPECS[:2], SIZES, strict=False):
        while True:
            with open_study(spec, settings, DIGEST) as study:
                recorded = drive(study, 20)
                found = sequence(study.finished())
            assert found[: len(before)] == before, "numbers stand"
            before = found
            if recorded == 0:
                break
        assert len(found) == size
        assert {tried for _, tried in found} == set(grid(spec))


def test_a_grid_grows(anywhere: Settings) -> None:
    assert_grows(anywhere)
    assert len(stored(anywhere)) == len(load_study(SPECS[1], anywhere).finished()) == SIZES[1]


@pytest.mark.xdist_group("postgres")
def test_a_grid_grows_in_postgresql(settings: Settings, postgres: Services) -> None:
    assert_grows(replace(settings, storage=postgres.url("optuna")))


def test_it_grows_again_before_it_is_finished(anywhere: Settings) -> None:
    """What it was to have before comes first, in the stacks that it would have had."""
    for spec, most in zip(SPECS, (3, 10, 11), strict=True):
        with open_study(spec, anywhere, DIGEST) as study:
            drive(study, most)
    with open_study(SPECS[2], anywhere, DIGEST) as study:
        cohorts = study.cohorts()
        found = sequence(study.finished())
    assert [len(cohort) for cohort in cohorts] == [4, 44, 312]
    numbered = [(trial.number, trial.hyperparameters) for each in cohorts for trial in each]
    assert [number for number, _ in numbered] == list(range(360))
    assert found == numbered[:24]
    assert [tried for _, tried in numbered[:4]] == grid(SPECS[0])
    assert {tried for _, tried in numbered[:48]} == set(grid(SPECS[1]))
    assert {tried for _, tried in numbered} == set(grid(SPECS[2]))
    cut = {number for stack in stacks(cohorts[1]) for number in [t.number for t in stack]}
    assert cut == set(range(4, 48)), "no stack has trials of two generations"


def test_with_a_pruner_each_generation_is_compared_as_a_whole(anywhere: Settings) -> None:
    pruned = {"search.pruner": "halving"}
    first, then = (small_spec(pruned, **each, epochs=9) for each in (FIRST, THEN))
    with open_study(first, anywhere, DIGEST) as study:
        drive(study)
    with open_study(then, anywhere, DIGEST) as study:
        cohort = study.next_cohort()
        assert [trial.number for trial in cohort] == list(range(4, 48))
        assert set(study.schedule(cohort).brackets) == set(range(4, 48))
        drive(study, 20)
    with open_study(then, anywhere, DIGEST) as study:
        assert study.next_cohort() == cohort
        drive(study)
        assert study.next_cohort() == []
        assert {tried for _, tried in sequence(study.finished())} == set(grid(then))
    assert len(stored(anywhere)) == 48


def test_what_a_list_did_not_have_is_stored_beside(anywhere: Settings) -> None:
    for spec in SPECS[:2]:
        with open_study(spec, anywhere, DIGEST) as study:
            drive(study)
    for trial, planned in zip(
        stored(anywhere), load_study(SPECS[1], anywhere).finished(), strict=True
    ):
        both = {**trial.params, **trial.user_attrs.get("lockstep.params", {})}
        tried = planned.hyperparameters
        assert both["batch_size"] == tried.batch_size
        assert both["weight_decay"] == tried.weight_decay
        assert ("batch_size" in trial.params) == (tried.batch_size == 16)
        assert trial.params["learning_rate"] == tried.learning_rate


def test_a_mistake_can_be_undone_as_long_as_nothing_was_trained(anywhere: Settings) -> None:
    with open_study(SPECS[0], anywhere, DIGEST) as study:
        drive(study)
    for spec in (SPECS[1], SPECS[2], SPECS[0], SPECS[1]):
        with open_study(spec, anywhere, DIGEST) as study:
            assert len(study.finished()) == 4
    with open_study(SPECS[1], anywhere, DIGEST) as study:
        drive(study, 1)
    with (
        pytest.raises(StudyChangedError, match=r"it leaves out 8, which the trials have"),
        open_study(SPECS[0], anywhere, DIGEST),
    ):
        pass
    assert len(load_study(SPECS[1], anywhere).finished()) == 5


Table = dict[str, Any]


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (Options(), Options(epochs=4), r"model\.epochs: 5 → 4 \(trials can only be trained furt"),
        (
            Options(schedule="cosine"),
            Options(schedule="cosine", epochs=6),
            "5 → 6 .with the cosine schedule, every step depends on the number of epochs",
        ),
        (
            Options(pruner="halving"),
            Options(pruner="halving", epochs=6),
            "5 → 6 .the rungs at which trials were compared depend on it",
        ),
        (
            Options(sampler="tpe", trials=8),
            Options(sampler="tpe", trials=8, epochs=6),
            'sampler = "tpe" chose the trials by their scores after so many',
        ),
        (
            Options(sampler="random", trials=8),
            Options(sampler="random", trials=8, batch_size=[4, 8, 16]),
            'a list cannot grow where sampler = "random" chooses from it',
        ),
        (
            Options(sampler="tpe", trials=8),
            Options(sampler="tpe", trials=8, learning_rate={**RANGE, "high": 0.5}),
            r"1\.0 → 0\.5 \(it must still go from 0\.001 to 1",
        ),
        (
            Options(sampler="tpe", trials=8),
            Options(sampler="tpe", trials=8, learning_rate={**RANGE, "low": 1e-4, "log": False}),
            "only a range can grow, as long as log stays as it is",
        ),
        (
            Options(sampler="cmaes", trials=8),
            Options(sampler="cmaes", trials=8, learning_rate={**RANGE, "high": 2.0}),
            'sampler = "cmaes" has adapted itself to the range',
        ),
        (Options(), Options(penalty="squared"), 'model.penalty: "norm" → "squared"'),
        (Options(), Options(weight_decay=[0.0, 0.1]), r"it leaves out 0\.25, 0\.5, which the tr"),
        (
            Options(),
            Options(learning_rate={**RANGE, "points": 5}),
            r"it leaves out 0\.01, 0\.1, which the trials have",
        ),
        (Options(bias=True), Options(bias=False), "it leaves out true, which the trials have"),
        (Options(), Options(sampler="random", trials=4), 'search.sampler: "grid" → "random"'),
        (Options(), Options(classes=[3, 6, 9]), "data.classes"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_difference(
    settings: Settings, first: Options, then: Options, said: str
) -> None:
    base: Options = {"epochs": 5}
    with open_study(small_spec(NO_KEYS, **{**base, **first}), settings, DIGEST) as study:
        drive(study, 1)
    changed = small_spec(NO_KEYS, **{**base, **then})
    with (
        pytest.raises(StudyChangedError, match=said) as caught,
        open_study(changed, settings, DIGEST),
    ):
        pass
    assert "\n" not in str(caught.value)
    with open_study(small_spec(NO_KEYS, **{**base, **first}), settings, DIGEST) as study:
        assert len(study.finished()) == 1


def widened(sampler: str, high: float) -> StudySpec:
    return small_spec(
        sampler=sampler,
        trials=12 if high == 1.0 else 24,
        cohort=4,
        learning_rate={"low": 1e-3, "high": high, "log": True},
        weight_decay={"low": 0.0, "high": high},
    )


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_a_range_widens(settings: Settings, tmp_path: Path, sampler: str) -> None:
    """What was tried stands; then the sampler tries what is new, as if never interrupted."""
    url = f"sqlite:///{tmp_path}/study.db" if sampler == "tpe" else None
    anywhere = replace(settings, storage=url)
    narrow, wide = widened(sampler, 1.0), widened(sampler, 100.0)
    with open_study(narrow, anywhere, DIGEST) as study:
        assert drive(study) == 12
        before = sequence(study.finished())
    elsewhere = replace(anywhere, home=anywhere.home / "other", storage=None)
    for settings, most in ((elsewhere, 100), (anywhere, 5)):
        if settings is elsewhere:
            with open_study(narrow, settings, DIGEST) as study:
                drive(study)
        for _ in range(4):
            with open_study(wide, settings, DIGEST) as study:
                drive(study, most)
    found = sequence(load_study(wide, anywhere).finished())
    assert found[:12] == before
    assert len(found) == 24
    assert max(tried.learning_rate for _, tried in found) > 1.0
    assert found == sequence(load_study(wide, elsewhere).finished())


def test_a_sampler_sees_all_trials_alike(settings: Settings) -> None:
    """It draws what belongs together at once, as in a study that began with the wider range."""
    narrow, wide = widened("tpe", 1.0), widened("tpe", 100.0)
    with open_study(narrow, settings, DIGEST) as study:
        drive(study)
    axes = distributions(wide)
    study = optuna.create_study()
    began_wide = optuna.create_study()
    for trial in stored(settings):
        study.add_trial(trial)
        as_wide = copy.copy(trial)
        as_wide.distributions = axes
        began_wide.add_trial(as_wide)
    assert has_widened(study, axes)
    assert not has_widened(began_wide, axes)
    study.sampler = AsDrawnNow(sampler_for(wide, 12), axes)
    began_wide.sampler = sampler_for(wide, 12)
    suggested = study.ask(axes)
    assert suggested.params == began_wide.ask(axes).params
    assert set(suggested.relative_params) == set(axes), "all are drawn together"
    study.sampler = sampler_for(wide, 13)
    alone = study.ask(axes).params
    assert alone["learning_rate"] <= 1.0, "it would go on where it was"
    assert alone["weight_decay"] <= 1.0
