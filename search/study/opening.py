"""Open a study, either as its only driver or just to read it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from core.datasets.scaling import Scale
from core.trainer.order import Order
from search.errors import LockstepError, NothingToShowError
from search.home import RECORD
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.copies import check_is_no_copy
from search.study.file_lease import file_lease
from search.study.foreign import check_study, is_lockstep
from search.study.search_study import SearchStudy
from search.study.started import Digests, start_or_go_on
from search.study.storage import (
    check_launched,
    check_storage,
    driver_storage,
    not_launched,
    open_storage,
    remove_study,
)
from search.trials.attributes import (
    ORDER_ATTRIBUTE,
    SPEC_ATTRIBUTE,
    STUDY_ID_ATTRIBUTE,
)
from search.trials.identity import Identity, new_id


@contextlib.contextmanager
def open_study(
    spec: StudySpec,
    settings: Settings,
    data_digest: Digests,
    scale: Scale = Scale.NONE,
    order: Order = Order.EXACT,
) -> Iterator[SearchStudy]:
    """Create or continue the study, as its only driver.

    data_digest, scale: of the data, by set of features where these have names, and what is done to
        its features.
    order: of the examples in a new study; an old one keeps its own.

    If the first launch of a new study fails before any trial has finished, the study is removed
    again, unless somebody else has added trials to it.

    Raises StudyBusyError if another driver holds the study, StudyChangedError if the study file or
    the data differ from those that it was started with, and LockstepError if the storage cannot be
    used or has a study of this name that is somebody else's.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_storage(settings)
    with (
        file_lease(settings.folder(spec.name) / "driver.lock", spec.name),
        driver_storage(spec.name, settings) as storage,
    ):
        study, is_made = _made_or_found(spec, settings, storage)
        spec = _as_started(study, spec)
        if SPEC_ATTRIBUTE not in study.user_attrs and order is not Order.EXACT:
            study.set_user_attr(ORDER_ATTRIBUTE, order.value)
        grown = start_or_go_on(study, spec, data_digest, scale, settings)
        opened = SearchStudy(study, storage, spec, settings, grown)
        new = is_made and not opened.finished()
        check_is_no_copy(study, settings)
        try:
            yield opened
        except (LockstepError, OSError):
            with contextlib.suppress(Exception):  # the storage may be what failed
                if new and opened.is_unused():
                    _remove(opened, settings, storage)
            raise


def load_study(spec: StudySpec, settings: Settings) -> SearchStudy:
    """Return the study for reading.

    Raises NothingToShowError if it was never launched, and LockstepError if it is not Lockstep's.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_launched(spec.name, settings)
    try:
        storage = open_storage(spec.name, settings, repair=False)
        study = optuna.load_study(study_name=spec.name, storage=storage)
    except KeyError as error:
        raise NothingToShowError(not_launched(spec.name, settings)) from error
    check_study(study, settings, _direction(spec))
    if SPEC_ATTRIBUTE not in study.user_attrs:
        raise NothingToShowError(not_launched(spec.name, settings))
    return SearchStudy(study, storage, _as_started(study, spec), settings)


def stored_identity(spec: StudySpec, settings: Settings) -> Identity | None:
    """Return the identity of the study, None if its storage is not at hand or does not have it."""
    try:
        return load_study(spec, settings).identity()
    except LockstepError:
        return None


def _direction(spec: StudySpec) -> StudyDirection:
    """Return which way the study's objective is better."""
    is_loss = spec.search.objective.is_loss
    return StudyDirection.MINIMIZE if is_loss else StudyDirection.MAXIMIZE


def _made_or_found(
    spec: StudySpec, settings: Settings, storage: BaseStorage
) -> tuple[optuna.Study, bool]:
    """Create or load the study, and give it an identity if it has none.

    Return it, and whether it was Lockstep that made it. Raises LockstepError if the study of this
    name is somebody else's.
    """
    name, direction = spec.name, _direction(spec)
    study_id, is_made = new_id(), True
    with contextlib.suppress(KeyError):  # there is no study of this name yet
        study = optuna.load_study(study_name=name, storage=storage)
        check_study(study, settings, direction)
        is_made = is_lockstep(study)
        study_id = study.user_attrs.get(STUDY_ID_ATTRIBUTE, study_id)
        if study.directions != [direction] and SPEC_ATTRIBUTE not in study.user_attrs:
            # A first launch failed, and the objective in the study file was changed since then.
            optuna.delete_study(study_name=name, storage=storage)
    study = optuna.create_study(
        study_name=name, storage=storage, direction=direction, load_if_exists=True
    )
    if STUDY_ID_ATTRIBUTE not in study.user_attrs:
        study.set_user_attr(STUDY_ID_ATTRIBUTE, study_id)
    return study, is_made


def _remove(opened: SearchStudy, settings: Settings, storage: BaseStorage) -> None:
    """Remove a new study whose first launch failed before any trial had finished.

    If MLflow knows its identity already, an empty study with that identity is left, so that the
    next launch is not taken for somebody else's.
    """
    name, study_id = opened.spec.name, opened.identity().study_id
    (settings.folder(name) / RECORD).unlink(missing_ok=True)
    remove_study(name, settings, storage)
    if opened.is_mirrored:
        if settings.storage is None:
            storage = open_storage(name, settings, repair=True)
        study = optuna.create_study(
            study_name=name, storage=storage, direction=_direction(opened.spec)
        )
        study.set_user_attr(STUDY_ID_ATTRIBUTE, study_id)


def _as_started(study: optuna.Study, spec: StudySpec) -> StudySpec:
    """Return the spec, without a bias if the study was started before trials could have one.

    A file that says whether there is a bias is left as it is.
    """
    stored = study.user_attrs.get(SPEC_ATTRIBUTE)
    if stored is None or "bias" in stored["model"] or "bias" in spec.model.model_fields_set:
        return spec
    return spec.with_model(bias=False)
