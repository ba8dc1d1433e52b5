"""The study file that a study was started with, how it has grown since, and whether it may go on.

All of it is in one attribute of Optuna's study, so that a driver that is killed leaves either the
one or the other. A study that never grew has there what earlier versions stored.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from core.datasets.scaling import Scale
from core.datasets.study_data import combined_digest
from search.errors import StudyChangedError, StudyFileError
from search.settings import Settings
from search.spec.growth import as_stored, earlier_spec, obstacles
from search.spec.recorded import read_record
from search.spec.study_spec import StudySpec, differences
from search.trials.attributes import (
    DATA_ATTRIBUTE,
    FINALISTS_ATTRIBUTE,
    RESULT_ATTRIBUTE,
    SCALE_ATTRIBUTE,
    SPEC_ATTRIBUTE,
)

_GROWN, _DIGEST = "grown", "data_digest"  # keys in `SPEC_ATTRIBUTE` that a study file does not have

Digests = str | Mapping[str, str]  # of the data; by set of features where they have names


@dataclass(frozen=True, slots=True)
class Earlier:
    """A study before it grew: how it was defined, on which data, and how many trials it had or,
    as a grid, was to have."""

    defining: Mapping[str, Any]
    data_digest: str
    trials: int


@dataclass(frozen=True, slots=True)
class Started:
    """How a study is stored: as it is defined now, on which data, and what it was before."""

    defining: Mapping[str, Any]
    data_digest: str
    earlier: tuple[Earlier, ...] = ()

    @classmethod
    def of(cls, study: optuna.Study) -> Started | None:
        """Return how a study is stored, None if it is not yet."""
        attributes = study.user_attrs
        stored = attributes.get(SPEC_ATTRIBUTE)
        if stored is None:
            return None
        defining = {key: value for key, value in stored.items() if key not in (_GROWN, _DIGEST)}
        return cls(
            defining,
            str(stored.get(_DIGEST, attributes.get(DATA_ATTRIBUTE))),
            tuple(
                Earlier(each["spec"], each["data_digest"], each["trials"])
                for each in stored.get(_GROWN, ())
            ),
        )

    def store(self, study: optuna.Study) -> None:
        """Store it in place of what is stored, at once."""
        grown: dict[str, Any] = {}
        if self.earlier:
            grown = {
                _DIGEST: self.data_digest,
                _GROWN: [
                    {"spec": each.defining, "data_digest": each.data_digest, "trials": each.trials}
                    for each in self.earlier
                ],
            }
        study.set_user_attr(SPEC_ATTRIBUTE, {**self.defining, **grown})

    def generations(self, spec: StudySpec) -> list[StudySpec]:
        """Return the study as it was defined at first and each time after it had grown."""
        before = [earlier_spec(spec, each.defining) for each in self.earlier]
        return [*before, earlier_spec(spec, self.defining)]


def start_or_go_on(
    study: optuna.Study, spec: StudySpec, digests: Digests, scale: Scale, settings: Settings
) -> str | None:
    """Store the study file, the data's digest and scale in a new study; compare them in an old one.

    A file that has only grown is stored, and the sentence says how it has.

    Raises StudyChangedError if they differ otherwise.
    """
    started, now = Started.of(study), as_stored(spec)
    digest = _combined(digests)
    if started is None:
        # The spec is stored last, so that a driver killed in between leaves a study without one.
        study.set_user_attr(DATA_ATTRIBUTE, digest)
        study.set_user_attr(SCALE_ATTRIBUTE, scale.value)
        Started(now, digest).store(study)
        return None
    changes = differences(dict(started.defining), now)
    different = _other_data(study, started, digests, scale)
    if not changes and not different and started.data_digest == digest:
        return None
    first = found = [*obstacles(started.defining, spec), *different]
    while found and started.earlier and _is_untouched(study, started):
        # Nothing was recorded since it grew, so that it may have been a mistake.
        before = started.earlier[-1]
        started = Started(before.defining, before.data_digest, started.earlier[:-1])
        found = [
            *obstacles(started.defining, spec),
            *_other_data(study, started, digests, scale),
        ]
    if found:
        raise StudyChangedError(
            f"study {spec.name} was started with another study file ({'; '.join(first)}): "
            f"undo the change, or give the study a new name{_launched_with(spec, settings)}"
        )
    changes = differences(dict(started.defining), now)
    if changes:
        trials = _planned(study, started.generations(spec)[-1])
        earlier = (*started.earlier, Earlier(started.defining, started.data_digest, trials))
        started = Started(now, digest, earlier)
        if FINALISTS_ATTRIBUTE in study.user_attrs and _epochs(earlier[-1]) != _epochs(started):
            study.set_user_attr(FINALISTS_ATTRIBUTE, None)  # They are judged again.
    started.store(study)
    return "; ".join(changes) or None


def _planned(study: optuna.Study, spec: StudySpec) -> int:
    """Return how many trials a study has, or as a grid is to have."""
    if spec.search.sampler == "grid":
        return spec.combinations()
    return len(study.get_trials(deepcopy=False))


def _is_untouched(study: optuna.Study, started: Started) -> bool:
    """Return whether nothing was recorded since the study grew last."""
    before = _epochs(started.earlier[-1])
    raised = _epochs(started) != before and any(
        value[RESULT_ATTRIBUTE]["stopped_epoch"] > before
        for key, value in study.user_attrs.items()
        if key.startswith(f"{RESULT_ATTRIBUTE}.")
    )
    new_trials = len(study.get_trials(deepcopy=False)) > started.earlier[-1].trials
    return not new_trials and not raised


def _epochs(stored: Earlier | Started) -> int:
    """Return for how many epochs trials are trained."""
    return int(stored.defining["model"]["epochs"])


def _combined(digests: Digests) -> str:
    """Return the digest of all data."""
    return digests if isinstance(digests, str) else combined_digest(digests)


def _other_data(study: optuna.Study, started: Started, digests: Digests, scale: Scale) -> list[str]:
    """Return how the data differ from those of the study, as far as it had them."""
    found = []
    if (old := study.user_attrs.get(SCALE_ATTRIBUTE, Scale.NONE.value)) != scale.value:
        found.append(scale_changed(old, scale))
    features: Sequence[Sequence[str]] = started.defining["data"].get("features") or ()
    same = digests
    if not isinstance(digests, str) and features:
        same = {name: digests[name] for name, _ in features if name in digests}
    if _combined(same) != started.data_digest:
        found.append("the data's content")
    return found


def scale_changed(old: str, new: str) -> str:
    """Return what differs, and how to continue the study as it was started."""
    return f'data.scale: "{old}" → "{new}"; scale = "{old}" in [data] continues it'


def _launched_with(spec: StudySpec, settings: Settings) -> str:
    """Return the keys of the command line that the study was launched with, in words."""
    with contextlib.suppress(StudyFileError):
        recorded = read_record(settings.folder(spec.name))
        if recorded is not None and recorded.given:
            given = " ".join(f"--set {shlex.quote(each)}" for each in recorded.given)
            return f" (it was launched with {given})"
    return ""
