"""Samplers from OptunaHub, where the package `optunahub` is installed: `sampler = "hub:de"`.

OptunaHub is Optuna's own registry of samplers, each a folder of Python files on GitHub. They are
downloaded once and run as this user, so that who names one trusts it. A commit after an @ pins the
code: "hub:de@0123abc…".
"""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from search.errors import LockstepError, first_line
from search.spec.search_spec import HUB

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
    given = {"seed": seed, "search_space": dict(axes)}
    known = inspect.signature(kind).parameters
    arguments = {key: value for key, value in given.items() if key in known}
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        try:
            made: BaseSampler = kind(**arguments)
            return made
        except Exception as error:
            raise LockstepError(
                f"search.sampler = {name!r}: {kind.__name__} cannot be made with a seed and the "
                f"search space alone ({first_line(error)}): choose another sampler"
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
