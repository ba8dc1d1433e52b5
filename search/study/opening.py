"""Open a study, either as its only driver or just to read it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import optuna
from optuna.study import StudyDirection

from core.datasets.scaling import Scale
from search.errors import LockstepError, NothingToShowError, StudyChangedError
from search.settings import Settings
from search.spec.study_spec import StudySpec, differences
from search.study.copies import check_is_no_copy
from search.study.file_lease import file_lease
from search.study.search_study import SearchStudy
from search.study.storage import (
    check_launched,
    driver_storage,
    not_launched,
    open_storage,
    remove_study,
)
from search.trials.attributes import DATA_ATTRIBUTE, SCALE_ATTRIBUTE, SPEC_ATTRIBUTE


@contextlib.contextmanager
def open_study(
    spec: StudySpec, settings: Settings, data_digest: str, scale: Scale = Scale.NONE
) -> Iterator[SearchStudy]:
    """Create or continue the study, as its only driver.

    data_digest, scale: of the data, and what is done to its features.

    If the first launch of a new study fails before any trial has finished, the study is removed
    again.

    Raises StudyBusyError if another driver holds the study, and StudyChangedError if the study file
    or the data differ from those that it was started with.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with (
        file_lease(settings.folder(spec.name) / "driver.lock", spec.name),
        driver_storage(spec.name, settings) as storage,
    ):
        is_loss = spec.search.objective.is_loss
        direction = StudyDirection.MINIMIZE if is_loss else StudyDirection.MAXIMIZE
        study = optuna.create_study(
            study_name=spec.name, storage=storage, direction=direction, load_if_exists=True
        )
        spec = _as_started(study, spec)
        opened = SearchStudy(study, storage, spec)
        new = not opened.finished()
        _check_unchanged(study, spec, data_digest, scale)
        check_is_no_copy(study, settings)
        try:
            yield opened
        except (LockstepError, OSError):
            with contextlib.suppress(Exception):  # the storage may be what failed
                if new and not opened.finished():
                    remove_study(spec.name, settings, storage)
            raise


def load_study(spec: StudySpec, settings: Settings) -> SearchStudy:
    """Return the study for reading. Raises NothingToShowError if it was never launched."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_launched(spec.name, settings)
    try:
        storage = open_storage(spec.name, settings, repair=False)
        study = optuna.load_study(study_name=spec.name, storage=storage)
    except KeyError as error:
        raise NothingToShowError(not_launched(spec.name, settings)) from error
    return SearchStudy(study, storage, _as_started(study, spec))


def _as_started(study: optuna.Study, spec: StudySpec) -> StudySpec:
    """Return the spec, without a bias if the study was started before trials could have one.

    A file that says whether there is a bias is left as it is.
    """
    stored = study.user_attrs.get(SPEC_ATTRIBUTE)
    if stored is None or "bias" in stored["model"] or "bias" in spec.model.model_fields_set:
        return spec
    return spec.with_model(bias=False)


def _check_unchanged(study: optuna.Study, spec: StudySpec, data_digest: str, scale: Scale) -> None:
    """Store the study file, the data's digest and scale in a new study; compare them in an old one.

    Raises StudyChangedError if they differ.
    """
    stored = study.user_attrs.get(SPEC_ATTRIBUTE)
    if stored is None:
        # The spec is stored last, so that a driver killed in between leaves a study without one.
        study.set_user_attr(DATA_ATTRIBUTE, data_digest)
        study.set_user_attr(SCALE_ATTRIBUTE, scale.value)
        study.set_user_attr(SPEC_ATTRIBUTE, spec.defining())
        return
    changes = differences(stored, json.loads(json.dumps(spec.defining())))
    if (old := study.user_attrs.get(SCALE_ATTRIBUTE, Scale.NONE.value)) != scale.value:
        changes.append(scale_changed(old, scale))
    if study.user_attrs.get(DATA_ATTRIBUTE) != data_digest:
        changes.append("the data's content")
    if changes:
        raise StudyChangedError(
            f"study {spec.name} was started with another study file ({'; '.join(changes)}): "
            "undo the change, or give the study a new name"
        )


def scale_changed(old: str, new: str) -> str:
    """Return what differs, and how to continue the study as it was started."""
    return f'data.scale: "{old}" → "{new}"; scale = "{old}" in [data] continues it'
