from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import optuna
import pytest

from core.datasets.splits import Splits
from search.commands.launch import run_study
from search.console import Console
from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.samplers import check_installed, sampler_for

MakeSpec = Callable[..., StudySpec]
BUDGET = "\ntrials = 24\ncohort = 8"


def asked(spec: StudySpec, n: int) -> list[dict[str, object]]:
    study = optuna.create_study()
    known = distributions(spec.space)
    found = []
    for number in range(n):
        study.sampler = sampler_for(spec, number)
        found.append(study.ask(known).params)
    return found


def test_sobol_fills_the_space_evenly(make_spec: MakeSpec) -> None:
    """Each of 16 equal parts of an axis has one of 16 points; each choice as many as the other."""
    spec = make_spec(('"grid"', '"qmc"\ntrials = 16'))
    points = asked(spec, 16)
    rates = (np.log10([each["learning_rate"] for each in points]) + 3) / 3
    decays = np.array([each["weight_decay"] for each in points]) / 0.5
    for axis in (rates, decays):
        assert sorted(np.floor(axis * 16).astype(int)) == list(range(16))
    assert [each["batch_size"] for each in points].count(8) == 8


def test_sobol_is_scrambled_by_the_seed(make_spec: MakeSpec) -> None:
    first, second = (
        make_spec(
            ('"grid"', '"qmc"\ntrials = 4'), ("seed = 0\n[baseline]", f"seed = {s}\n[baseline]")
        )
        for s in (0, 1)
    )
    assert asked(first, 4) == asked(first, 4)
    assert asked(first, 4) != asked(second, 4)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_samplers_learn(
    make_spec: MakeSpec, settings: Settings, splits: Splits, sampler: str
) -> None:
    """Later cohorts are better than the first, which is drawn at random."""
    spec = make_spec(
        ('"grid"', f'"{sampler}"\ntrials = 48\ncohort = 12'),
        ("epochs = 5", "epochs = 3"),
        ("low = 1e-3, high = 1.0", "low = 1e-6, high = 1.0"),
        ("low = 0.0, high = 0.5", "low = 0.0, high = 0.5"),
    )
    report = run_study(spec, splits, settings, Console(as_json=True))
    losses = [trial.val_loss for trial in report.trials]
    assert np.median(losses[24:]) < np.median(losses[:12])


def test_gp_works_or_says_what_to_install(
    make_spec: MakeSpec, settings: Settings, splits: Splits
) -> None:
    spec = make_spec(('"grid"', f'"gp"{BUDGET}'))
    if importlib.util.find_spec("torch") is None:
        with pytest.raises(LockstepError, match="needs PyTorch: pip install torch"):
            run_study(spec, splits, settings, Console(as_json=True))
        assert not settings.home.exists(), "nothing is written"
        return
    report = run_study(spec, splits, settings, Console(as_json=True))
    assert len(report.trials) == 24


def test_other_samplers_need_nothing(make_spec: MakeSpec) -> None:
    for sampler in ("random", "qmc", "tpe", "cmaes"):
        check_installed(make_spec(('"grid"', f'"{sampler}"{BUDGET}')))
