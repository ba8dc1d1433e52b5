"""Tell trials and studies that Lockstep wrote from those of somebody else in the same storage."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.errors import LockstepError
from search.redact import redacted
from search.settings import Settings
from search.trials.attributes import RESULT_ATTRIBUTE, SPEC_ATTRIBUTE, STUDY_ID_ATTRIBUTE

_ENQUEUED = "fixed_params"  # Optuna gives this system attribute to a trial of `enqueue_trial`
_NAMED = 3  # the most trials that a message names


def is_recorded(trial: FrozenTrial) -> bool:
    """Return whether a trial was finished by `SearchStudy.record`."""
    return RESULT_ATTRIBUTE in trial.user_attrs and trial.state.is_finished()


def is_asked_for(trial: FrozenTrial, searched: Collection[str]) -> bool:
    """Return whether a trial may be one that a driver has asked for and has not recorded yet.

    searched: the names of the hyperparameters that are searched.
    """
    return (
        trial.state is TrialState.RUNNING
        and trial.params.keys() <= set(searched)
        and _ENQUEUED not in trial.system_attrs
    )


def is_lockstep(study: optuna.Study) -> bool:
    """Return whether a study was made by Lockstep, as far as it says so."""
    return not {SPEC_ATTRIBUTE, STUDY_ID_ATTRIBUTE}.isdisjoint(study.user_attrs)


def check_study(study: optuna.Study, settings: Settings, direction: StudyDirection) -> None:
    """Raise LockstepError if a study of Optuna is somebody else's.

    It is if it has trials but no study file of ours, or if it optimises something else. One without
    trials may be taken over.
    """
    if is_lockstep(study):
        return
    if trials := study.get_trials(deepcopy=False):
        raise LockstepError(
            f"study {study.study_name} in {place(settings)} is not Lockstep's: it has "
            f"{counted(trials)} of another program, and is left as it is: {_REMEDY}"
        )
    if study.directions != [direction]:
        raise LockstepError(
            f"study {study.study_name} in {place(settings)} is not Lockstep's: it is there to "
            f"{_ways(study.directions)}, this one would {_ways([direction])}; it is left as it is: "
            f"{_REMEDY}, or delete that study with Optuna"
        )


def foreign_trials(study: str, settings: Settings, trials: Sequence[FrozenTrial]) -> LockstepError:
    """Return the error for a study of Lockstep to which somebody else has added these trials."""
    numbers = ", ".join(f"#{trial.number}" for trial in trials[:_NAMED])
    more = ", …" if len(trials) > _NAMED else ""
    return LockstepError(
        f"study {study} in {place(settings)} has {counted(trials)} that Lockstep did not write "
        f"({numbers}{more}), so that its search cannot go on as its file says: what it has found "
        f"is kept, and compare and retrain use it; to search on, {_REMEDY}"
    )


def place(settings: Settings) -> str:
    """Return the storage of studies in words, without its password."""
    if settings.storage is None:
        return f"the home {settings.place}"
    return f"--storage {redacted(settings.storage)}"


def counted(trials: Sequence[FrozenTrial]) -> str:
    """Return how many trials these are, in words."""
    return f"{len(trials):,} trial{'' if len(trials) == 1 else 's'}"


def _ways(directions: Sequence[StudyDirection]) -> str:
    """Return the directions of a study in words."""
    return " and ".join(each.name.lower() for each in directions)


_REMEDY = "give this study another name in its file, or name another --storage"
