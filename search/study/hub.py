"""Samplers from OptunaHub, where the package `optunahub` is installed: `sampler = "hub:de"`.

OptunaHub is Optuna's own registry of samplers, each a folder of Python files on GitHub. They are
downloaded once and run as this user, so that who names one trusts it. A commit after an @ pins the
code: "hub:de@0123abc…".

As with Optuna's own samplers, each suggestion has its own, which knows what the study knows. One
that remembers suggestions by itself alone has nothing to go by.
"""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.errors import LockstepError, first_line
from search.spec.search_spec import HUB

T = TypeVar("T")

_LATEST = "main"  # the branch of the registry


def is_installed() -> bool:
    """Return whether the package that loads them is installed."""
    return importlib.util.find_spec("optunahub") is not None


def hub_sampler(name: str, seed: int, axes: Mapping[str, BaseDistribution]) -> BaseSampler:
    """Return a new sampler of OptunaHub.

    name: as in a study file, with its prefix. axes: the search space, for those that ask for it.

    Raises LockstepError if there is no such sampler, if it cannot be downloaded, or if it needs
    what a study file does not have.
    """
    kind = _class(name)
    given = {"seed": seed, "search_space": dict(axes), "warn_independent_sampling": False}
    known = inspect.signature(kind).parameters
    arguments = {key: value for key, value in given.items() if key in known}
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        try:
            return _Guarded(name, kind(**arguments))
        except Exception as error:
            raise LockstepError(
                f"search.sampler = {name!r}: {kind.__name__} cannot be made with a seed and the "
                f"search space alone ({first_line(error)}): choose another sampler"
            ) from error


class _Guarded(BaseSampler):
    """A sampler of OptunaHub whose errors are told as what they are: it cannot search this space.

    name: as in a study file.
    """

    def __init__(self, name: str, sampler: BaseSampler) -> None:
        self._name = name
        self._sampler = sampler

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Let the sampler prepare a suggestion."""
        self._guarded(lambda: self._sampler.before_trial(study, trial))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the hyperparameters that the sampler draws together."""
        return self._guarded(lambda: self._sampler.infer_relative_search_space(study, trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values that the sampler draws together."""
        return self._guarded(lambda: self._sampler.sample_relative(study, trial, search_space))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value that the sampler draws for one hyperparameter."""
        return self._guarded(
            lambda: self._sampler.sample_independent(study, trial, param_name, param_distribution)
        )

    def _guarded(self, call: Callable[[], T]) -> T:
        """Return what a call returns. Raises LockstepError instead of the sampler's own errors."""
        try:
            return call()
        except (LockstepError, OSError):
            raise  # of a storage
        except Exception as error:
            raise LockstepError(
                f"search.sampler = {self._name!r}: it cannot search this space "
                f"({type(error).__name__}: {first_line(error)}): choose another sampler, or a "
                "space that it supports"
            ) from error


@lru_cache(maxsize=4)
def _class(name: str) -> Any:
    """Return the class of a sampler. Raises LockstepError if it cannot be loaded."""
    package, _, ref = name.removeprefix(HUB).partition("@")
    try:
        import optunahub

        module = optunahub.load_module(f"samplers/{package}", ref=ref or _LATEST)
    except Exception as error:  # of git, of a network, or of what was downloaded
        raise LockstepError(
            f"search.sampler = {name!r}: OptunaHub does not have it, or it cannot be loaded "
            f"({type(error).__name__}: {first_line(error)}): https://hub.optuna.org lists them"
        ) from error
    offered = [getattr(module, each, None) for each in getattr(module, "__all__", ())]
    samplers = [each for each in offered if inspect.isclass(each) and issubclass(each, BaseSampler)]
    if not samplers:
        raise LockstepError(f"search.sampler = {name!r}: this package of OptunaHub has no sampler")
    return samplers[0]
