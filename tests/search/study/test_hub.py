"""Samplers of OptunaHub, by its own package, from what it has downloaded before."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from driving import DIGEST, drive, sequence, stored
from small_study import Options, small_spec

from search.errors import LockstepError
from search.settings import Settings
from search.study.opening import load_study, open_study
from search.study.samplers import check_installed

REF = "0123abc"
PACKAGE = '''
import numpy as np
from optuna.samplers import BaseSampler


class HalvingSampler(BaseSampler):
    """Draws near the best trial of the study so far."""

    def __init__(self, search_space, seed=None):
        assert set(search_space) == {"learning_rate", "weight_decay", "batch_size"}
        self._rng = np.random.default_rng(seed)

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, name, distribution):
        if not hasattr(distribution, "low"):
            return distribution.choices[self._rng.integers(len(distribution.choices))]
        done = [each for each in study.get_trials(deepcopy=False) if each.values]
        best = min(done, key=lambda each: each.value).params[name] if done else distribution.high
        return min(max(best * self._rng.uniform(0.5, 1.0), distribution.low), distribution.high)


__all__ = ["HalvingSampler"]
'''
PICKY = PACKAGE.replace("return {}", "raise NotImplementedError('lists are not for me')")
NEEDY = PACKAGE.replace("search_space, seed=None", "model, search_space, seed=None")


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OptunaHub keeps of what it has downloaded. Nothing else can be reached."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("OPTUNAHUB_CACHE_HOME", str(cache))
    for proxy in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    registry = cache / "github.com" / "optuna" / "optunahub-registry" / REF / "package" / "samplers"
    packages = {"near_best": PACKAGE, "needy": NEEDY, "picky": PICKY, "empty": "__all__ = []"}
    for name, text in packages.items():
        (registry / name).mkdir(parents=True)
        (registry / name / "__init__.py").write_text(text)


HUB = Options(sampler=f"hub:near_best@{REF}", trials=20, cohort=5)
SPEC = small_spec(**HUB)


def test_a_study_is_searched_by_it_wherever_it_is_interrupted(settings: Settings) -> None:
    check_installed(SPEC)
    with open_study(SPEC, settings, DIGEST) as study:
        assert drive(study) == 20
        whole = sequence(study.finished())
    rates = [tried.learning_rate for _, tried in whole]
    assert max(rates[15:]) < min(rates[:5]), "each cohort draws near the best before it"
    other = Settings(home=settings.home / "other", workers=2)
    for _ in range(8):
        with open_study(SPEC, other, DIGEST) as study:
            drive(study, 3)
    assert sequence(load_study(SPEC, other).finished()) == whole
    assert len(stored(settings)) == 20


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        (f"needy@{REF}", "HalvingSampler cannot be made with a seed and the search space alone"),
        (f"empty@{REF}", "this package of OptunaHub has no sampler"),
        ("nothing_of_this_name", "OptunaHub does not have it, or it cannot be loaded"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(sampler: str, said: str) -> None:
    with pytest.raises(LockstepError, match=said) as error:
        check_installed(small_spec(sampler=f"hub:{sampler}", trials=4))
    assert "\n" not in str(error.value)


def test_a_sampler_that_cannot_search_the_space(settings: Settings) -> None:
    spec = small_spec(**{**HUB, "sampler": f"hub:picky@{REF}"})
    check_installed(spec)
    said = r"it cannot search this space .NotImplementedError: lists are not for me"
    with pytest.raises(LockstepError, match=said), open_study(spec, settings, DIGEST) as study:
        study.next_cohort()
    assert not settings.home.exists(), "nothing of it is left"


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it was never installed: nothing of that name can be found."""
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "optunahub", raising=False)
    with pytest.raises(LockstepError, match=r"needs the package of OptunaHub: pip install optunah"):
        check_installed(SPEC)


@pytest.mark.parametrize("name", ["hub:", "hub:../../etc", "hub:a b", "hub:de@", "hub:DE", "hub"])
def test_a_name_that_is_none(name: str) -> None:
    """No path and no address gets through."""
    with pytest.raises(ValueError, match="or one of OptunaHub's"):
        small_spec(sampler=name, trials=4)
