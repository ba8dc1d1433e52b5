"""Trials that try a configuration which another trial of the study has tried.

A sampler over lists of values suggests the same configuration again and again. Training is
deterministic, so it would only give the numbers that are known. So such a trial, a *repeat*, is
recorded with the result of the first trial of its configuration, and is not trained.

Why it is not replaced by another suggestion instead: a sampler's suggestions depend on the number
of the trial and on all trials before it. A repeat that is recorded leaves both as they are, so a
study is continued as if it had never been interrupted, and TPE sees what it has suggested.

A configuration is decided upon once, with pruning too. A repeat of a trial that was stopped early
is recorded as stopped early: to train it further would spend epochs on what was worse than others
of its cohort, rather than on a configuration that is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from core.trainer.result import Hyperparameters, Status
from search.spec.objective import Objective
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial

NOTHING_NEW = 100  # so many repeats in a row, and at least a cohort of them, end a search


class Exhausted(Enum):
    """Why a search has nothing left to try. The value is the text that a user reads."""

    ALL_TRIED = "all {configurations:,} configurations that there are have been tried"
    NOTHING_NEW = (
        "the last {settled:,} trials brought no new configuration: the sampler has settled; list "
        "more values in a new study to search on"
    )


def exhausted(spec: StudySpec, trials: Sequence[FinishedTrial]) -> Exhausted | None:
    """Return why the sampler of a study has nothing left to try; None if it has.

    trials: all finished ones, in order of number.
    """
    if spec.search.sampler == "grid":
        return None
    if len({trial.hyperparameters for trial in trials}) == spec.configurations():
        return Exhausted.ALL_TRIED
    last = trials[-settled_after(spec) :]
    settled = len(last) == settled_after(spec) and not trained(last)
    return Exhausted.NOTHING_NEW if settled else None


def settled_after(spec: StudySpec) -> int:
    """Return how many repeats in a row end the search of a study."""
    return max(NOTHING_NEW, spec.search.cohort)


def trained(trials: Iterable[FinishedTrial]) -> list[FinishedTrial]:
    """Return the trials that were trained, which are those that are no repeats."""
    return [trial for trial in trials if trial.repeats is None]


def distinct(trials: Iterable[FinishedTrial], objective: Objective) -> list[FinishedTrial]:
    """Return one trial of each configuration, in order of number.

    It is the one with the best rank, or else the one that was trained longest. Statistics need
    this: two trials of one configuration are one piece of evidence, also in studies of earlier
    versions, which trained both.
    """
    found: dict[Hyperparameters, FinishedTrial] = {}
    for trial in sorted(trials, key=lambda each: _preference(each, objective)):
        found.setdefault(trial.hyperparameters, trial)
    return sorted(found.values(), key=lambda trial: trial.number)


def _preference(trial: FinishedTrial, objective: Objective) -> tuple[float, ...]:
    """Return the key by which one trial of several with the same configuration is taken."""
    if trial.status is Status.COMPLETED:
        return (0, *objective.rank_key(trial), trial.number)
    return (1, -trial.stopped_epoch, 0, trial.number)
