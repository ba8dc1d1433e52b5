from __future__ import annotations

import importlib.util

import numpy as np
import optuna
import pytest
from small_study import Options, small_spec

from core.datasets.study_data import StudyData
from search.commands.launch import run_study
from search.console import Console
from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.samplers import check_installed, sampler_for

BUDGET: Options = {"trials": 24, "cohort": 8}
GP = small_spec(sampler="gp", **BUDGET)
TORCH = importlib.util.find_spec("torch") is not None


def asked(spec: StudySpec, n: int) -> list[dict[str, object]]:
    study = optuna.create_study()
    known = distributions(spec)
    found = []
    for number in range(n):
        study.sampler = sampler_for(spec, number)
        found.append(study.ask(known).params)
    return found


def test_sobol_fills_the_space_evenly() -> None:
    """Each of 16 equal parts of an axis has one of 16 points; each choice as many as the other."""
    spec = small_spec(sampler="qmc", trials=16)
    points = asked(spec, 16)
    rates = (np.log10([each["learning_rate"] for each in points]) + 3) / 3
    decays = np.array([each["weight_decay"] for each in points]) / 0.5
    for axis in (rates, decays):
        assert sorted(np.floor(axis * 16).astype(int)) == list(range(16))
    assert [each["batch_size"] for each in points].count(8) == 8


def test_sobol_is_scrambled_by_the_seed() -> None:
    first, second = (small_spec({"search.seed": seed}, sampler="qmc", trials=4) for seed in (0, 1))
    assert asked(first, 4) == asked(first, 4)
    assert asked(first, 4) != asked(second, 4)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_samplers_learn(settings: Settings, splits: StudyData, sampler: str) -> None:
    """Later cohorts are better than the first, which is drawn at random."""
    spec = small_spec(
        {"space.learning_rate.low": 1e-6}, epochs=3, sampler=sampler, trials=36, cohort=12
    )
    report = run_study(spec, splits, settings, Console(as_json=True))
    losses = [trial.val_loss for trial in report.trials]
    assert np.median(losses[24:]) < np.median(losses[:12])


@pytest.mark.skipif(not TORCH, reason="PyTorch is not installed")
def test_gp_works(settings: Settings, splits: StudyData) -> None:
    report = run_study(GP, splits, settings, Console(as_json=True))
    assert len(report.trials) == 24


@pytest.mark.skipif(TORCH, reason="PyTorch is installed")
def test_gp_says_what_to_install(settings: Settings, splits: StudyData) -> None:
    with pytest.raises(LockstepError, match="needs PyTorch: pip install torch"):
        run_study(GP, splits, settings, Console(as_json=True))
    assert not settings.home.exists(), "nothing is written"


def test_other_samplers_need_nothing() -> None:
    for sampler in ("random", "qmc", "tpe", "cmaes"):
        check_installed(small_spec(sampler=sampler, **BUDGET))
