"""Which Optuna sampler suggests a trial. A grid is enumerated in `space.py` and needs none.

Each suggestion has a sampler and a seed of its own, both functions of the study file and the
trial's number. What Optuna's samplers learn they read from the storage; so a study that was
interrupted asks for what it would have asked for undisturbed.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.errors import LockstepError
from search.spec.study_spec import StudySpec

LEAST_POPULATION = 4  # of CMA-ES


def check_installed(spec: StudySpec) -> None:
    """Raises LockstepError where the sampler needs a package that is not there."""
    if spec.search.sampler == "gp" and importlib.util.find_spec("torch") is None:
        raise LockstepError(
            f'study {spec.name}: search.sampler = "gp" needs PyTorch: pip install torch, or '
            'choose sampler = "tpe"'
        )


def sampler_for(spec: StudySpec, number: int) -> BaseSampler:
    """The sampler that suggests the trial of this number."""
    seed = int(np.random.SeedSequence((spec.search.seed, number)).generate_state(1)[0])
    return _SAMPLERS[spec.search.sampler](spec, seed, number)


def _random(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    return RandomSampler(seed)


def _tpe(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    return TPESampler(seed=seed)


def _cmaes(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    """One generation a cohort, with room for trials that diverge. What is listed, such as batch
    sizes, has no neighbours to move to: TPE chooses it."""
    search = spec.search
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        return CmaEsSampler(
            seed=seed,
            popsize=max(LEAST_POPULATION, 3 * search.cohort // 4),
            independent_sampler=TPESampler(seed=seed),
            warn_independent_sampling=False,
            consider_pruned_trials=search.pruner != "none",
        )


def _gp(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed)


def _qmc(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    return SobolSampler(spec.search.seed, number)


_SAMPLERS: dict[str, Callable[[StudySpec, int, int], BaseSampler]] = {
    "random": _random,
    "qmc": _qmc,
    "tpe": _tpe,
    "cmaes": _cmaes,
    "gp": _gp,
}


class SobolSampler(BaseSampler):
    """Point ``number`` of a scrambled Sobol sequence over floats and choices.

    Optuna's own QMCSampler counts its points in the storage, so that one is skipped when a driver
    is killed while it asks; and it draws the first point at random.
    """

    def __init__(self, seed: int, number: int) -> None:
        self._seed = seed
        self._number = number
        self._point: Mapping[str, float] | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return _at(self._coordinates()[param_name], param_distribution)

    def _coordinates(self) -> Mapping[str, float]:
        """A point in the unit cube, by name of the hyperparameter."""
        if self._point is None:
            from scipy.stats.qmc import Sobol

            names = ("learning_rate", "weight_decay", "batch_size")
            sequence = Sobol(len(names), scramble=True, rng=np.random.default_rng(self._seed))
            if self._number:
                sequence.fast_forward(self._number)
            with warnings.catch_warnings(action="ignore"):  # that one point is no power of two
                self._point = dict(zip(names, sequence.random(1)[0].tolist(), strict=True))
        return self._point


def _at(u: float, distribution: BaseDistribution) -> Any:
    """The value at u in [0, 1) of a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        return choices[min(int(u * len(choices)), len(choices) - 1)]
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** u if distribution.log else low + u * (high - low)
    return min(max(value, low), high)
