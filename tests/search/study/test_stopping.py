"""Searches that end before their budget is spent, wherever they were interrupted."""

from __future__ import annotations

import importlib.util
import math
import tomllib
from pathlib import Path

import numpy as np
import optuna
import pytest
from driving import DIGEST, drive, sequence
from optuna.distributions import FloatDistribution
from small_study import Options, small_spec, small_study

from search.errors import LockstepError, StudyFileError
from search.settings import Settings
from search.spec.study_file import study_of
from search.study.opening import load_study, open_study
from search.study.samplers import check_installed
from search.study.stopping import regret_bound, trials_since_best

SAMPLED = Options(sampler="random", trials=60, cohort=4)
PATIENT = small_spec(**SAMPLED, patience=10)
WITH_TORCH = importlib.util.find_spec("torch") is not None


def test_it_ends_once_the_best_is_old(settings: Settings) -> None:
    with open_study(PATIENT, settings, DIGEST) as study:
        drive(study)
        found = study.finished()
        assert study.stopped is not None
        assert study.stopped.startswith(f"none of the last {trials_since_best(PATIENT, found, 0)}")
    assert len(found) < 60
    best = min((each for each in found if each.val_loss == each.val_loss), key=lambda e: e.val_loss)
    assert len(found) - 1 - best.number >= 10
    # It did not end a cohort later than it could.
    earlier = found[: len(found) - 4]
    assert trials_since_best(PATIENT, earlier, 0) < 10


def test_interrupted_anywhere_it_ends_at_the_same_trial(settings: Settings) -> None:
    with open_study(PATIENT, settings, DIGEST) as study:
        drive(study)
        expected = sequence(study.finished())
    other = Settings(home=settings.home / "other", workers=2)
    for _ in range(0, 60, 3):
        with open_study(PATIENT, other, DIGEST) as study:
            drive(study, 3)
    assert sequence(load_study(PATIENT, other).finished()) == expected


def test_with_more_patience_it_goes_on(settings: Settings) -> None:
    with open_study(PATIENT, settings, DIGEST) as study:
        drive(study)
        before = len(study.finished())
    with open_study(PATIENT, settings, DIGEST) as study:
        assert study.next_cohort() == [], "the same command says the same again"
    with open_study(small_spec(**SAMPLED, patience=40), settings, DIGEST) as study:
        assert drive(study) > 0
        assert len(study.finished()) > before


def test_a_range_that_became_wider_is_searched(settings: Settings) -> None:
    narrow = Options(**SAMPLED, learning_rate={"low": 1e-3, "high": 1.0, "log": True}, patience=10)
    wide: Options = {**narrow, "learning_rate": {"low": 1e-5, "high": 1.0, "log": True}}
    with open_study(small_spec(**narrow), settings, DIGEST) as study:
        drive(study)
        before = len(study.finished())
        assert study.stopped is not None
    with open_study(small_spec(**wide), settings, DIGEST) as study:
        assert study.stopped is None
        drive(study)
        assert len(study.finished()) >= before + 10


def test_keys_that_are_wrong() -> None:
    for options, said in (
        (Options(patience=5), "search.patience = 5: a grid runs all its points"),
        (Options(regret=0.1), "search.regret = 0.1: a grid runs all its points"),
        (Options(**SAMPLED, patience=0), "must be greater than or equal to 1"),
        (Options(**SAMPLED, regret=-1.0), "must be greater than 0"),
    ):
        with pytest.raises(StudyFileError, match=said):
            study_of(tomllib.loads(small_study(**options)), Path("study.toml"))
    assert small_spec(**SAMPLED).digest() == PATIENT.digest(), "it changes no trial"


@pytest.mark.skipif(WITH_TORCH, reason="PyTorch is installed")
def test_a_bound_without_pytorch() -> None:
    with pytest.raises(LockstepError, match=r"search\.regret = 0\.1 needs PyTorch.*or give patien"):
        check_installed(small_spec(**SAMPLED, regret=0.1))


@pytest.mark.skipif(not WITH_TORCH, reason="PyTorch is not installed")
def test_the_bound_falls_as_a_space_is_known() -> None:
    axes = {"x": FloatDistribution(0.0, 1.0)}
    study = optuna.create_study()

    def add(n: int) -> None:
        for x in np.random.default_rng(n).random(n).tolist():
            study.add_trial(
                optuna.trial.create_trial(
                    value=(x - 0.3) ** 2, params={"x": x}, distributions=dict(axes)
                )
            )

    add(19)
    assert regret_bound(study, axes, 0) is None, "too few trials"
    add(6)
    few = regret_bound(study, axes, 0)
    add(40)
    many = regret_bound(study, axes, 0)
    assert few is not None
    assert many is not None
    assert 0 < many < few < math.inf
    assert regret_bound(study, axes, 0) == many, "the same again"
