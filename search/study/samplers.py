"""Choose the Optuna sampler that suggests a trial. A grid is listed in `search/spec/space.py` and
needs no sampler.

Each suggestion has its own sampler and seed, which depend only on the study file and the trial's
number. Optuna's samplers learn only from what is in the storage. So a study that was interrupted
asks for the same trials as one that was not.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.errors import LockstepError
from search.spec.search_spec import HUB
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.hub import hub_sampler, is_installed

LEAST_POPULATION = 4  # the smallest population that CMA-ES gets


def check_installed(spec: StudySpec) -> None:
    """Raise LockstepError if the search needs a package that is not installed."""
    if spec.search.regret is not None and importlib.util.find_spec("torch") is None:
        raise LockstepError(
            f"study {spec.name}: search.regret = {spec.search.regret:g} needs PyTorch, with which "
            "Optuna computes the bound: pip install torch, or give patience, a number of trials"
        )
    if spec.search.sampler.startswith(HUB):
        if not is_installed():
            raise LockstepError(
                f"study {spec.name}: search.sampler = {spec.search.sampler!r} needs the package "
                "of OptunaHub: pip install optunahub; what it downloads runs as you do"
            )
        sampler_for(spec, 0)  # before anything is written
    if spec.search.sampler == "gp" and importlib.util.find_spec("torch") is None:
        raise LockstepError(
            f'study {spec.name}: search.sampler = "gp" needs PyTorch: pip install torch, or '
            'choose sampler = "tpe"'
        )


def sampler_for(spec: StudySpec, number: int) -> BaseSampler:
    """Return the sampler that suggests the trial with this number."""
    seed = int(np.random.SeedSequence((spec.search.seed, number)).generate_state(1)[0])
    if spec.search.sampler.startswith(HUB):
        return hub_sampler(spec.search.sampler, seed, distributions(spec))
    return _SAMPLERS[spec.search.sampler](spec, seed, number)


def _random(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    """Return a sampler that draws at random."""
    return RandomSampler(seed)


def _tpe(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    """Return the tree-structured Parzen estimator."""
    return TPESampler(seed=seed)


def _cmaes(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    """Return CMA-ES with about one generation per cohort, leaving room for trials that diverge.

    Values from a list, such as batch sizes, have no order for CMA-ES to follow, so TPE chooses
    them.
    """
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
    """Return a sampler that models the objective as a Gaussian process."""
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed)


def _qmc(spec: StudySpec, seed: int, number: int) -> BaseSampler:
    """Return the sampler of a Sobol sequence."""
    return SobolSampler(spec.search.seed, number, list(distributions(spec)))


_SAMPLERS: dict[str, Callable[[StudySpec, int, int], BaseSampler]] = {
    "random": _random,
    "qmc": _qmc,
    "tpe": _tpe,
    "cmaes": _cmaes,
    "gp": _gp,
}


class SobolSampler(BaseSampler):
    """A sampler that returns point ``number`` of a scrambled Sobol sequence over floats and
    choices.

    Optuna's own QMCSampler counts its points in the storage, so it skips a point if a driver is
    killed while it asks. It also draws the first point at random.
    """

    def __init__(self, seed: int, number: int, names: Sequence[str]) -> None:
        self._names = names
        self._seed = seed
        self._number = number
        self._point: Mapping[str, float] | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return an empty space, because each hyperparameter is sampled independently."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no values, because each hyperparameter is sampled independently."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the point's value for one hyperparameter."""
        return _at(self._coordinates()[param_name], param_distribution)

    def _coordinates(self) -> Mapping[str, float]:
        """Return the point in the unit cube, by name of the hyperparameter."""
        if self._point is None:
            from scipy.stats.qmc import Sobol

            names = self._names
            sequence = Sobol(len(names), scramble=True, rng=np.random.default_rng(self._seed))
            if self._number:
                sequence.fast_forward(self._number)
            with warnings.catch_warnings(action="ignore"):  # about a count that is not a power of 2
                self._point = dict(zip(names, sequence.random(1)[0].tolist(), strict=True))
        return self._point


def _at(u: float, distribution: BaseDistribution) -> Any:
    """Return the value of a distribution at u in [0, 1)."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        return choices[min(int(u * len(choices)), len(choices) - 1)]
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** u if distribution.log else low + u * (high - low)
    return min(max(value, low), high)
