"""PostgreSQL as a study's storage: the driver's one connection is its lease, and may be lost."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import create_engine, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.orm import scoped_session, sessionmaker

from search.errors import LockstepError, StudyBusyError, first_line
from search.study.file_lease import busy

FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0  # seconds before a retry, doubled each time
GRACE_SECONDS = 5.0  # for the server to end a session of ours that it does not know to be lost
# Either side notices within half a minute that the other is gone without a word.
_LIBPQ = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SERVER = {"tcp_keepalives_idle": 15, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
_HOLDER = """
    SELECT pid, application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = %s
"""

logger = logging.getLogger(__name__)


def is_postgres(url: str | None) -> bool:
    try:
        return url is not None and make_url(url).get_backend_name() == "postgresql"
    except (ArgumentError, ValueError):  # a port that is no number, for one
        return False  # Optuna will say what is wrong with it


def connect_args(url: str) -> dict[str, Any]:
    """What makes an unreachable server fail within seconds."""
    driver = make_url(url).drivername.partition("+")[2]
    return dict(_LIBPQ) if driver in ("", "psycopg", "psycopg2") else {}


def check_reachable(url: str) -> None:
    """Raises whatever a connection fails with, within seconds."""
    engine = create_engine(url, connect_args=connect_args(url))
    try:
        engine.connect().close()
    finally:
        engine.dispose()


class PostgresStorage(RDBStorage):
    """For a study's only driver.

    Everything goes through one connection, and a connection is only accepted once it holds the
    study's advisory lock. So there is no moment in which a driver that lost its lock could write.
    A lost connection is made anew, for ``patience`` seconds.

    Raises StudyBusyError that names the holder, now or when another driver took over after the
    connection was lost; LockstepError when the server stays away.
    """

    def __init__(self, url: str, study: str, patience: float) -> None:
        lease = _Lease(study)
        self._place = make_url(url).render_as_string(hide_password=True)
        self._patience = patience
        self._attempt = 0  # at creating the current trial
        options = connect_args(url)
        super().__init__(url, engine_kwargs={"connect_args": options})  # makes the tables
        self.engine.dispose()
        self.engine = create_engine(
            url,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            pool_events=[(lease.take, "connect")],
            connect_args=options,
        )
        self.scoped_session = scoped_session(sessionmaker(bind=self.engine))
        with self.engine.connect():
            pass  # now, not at the first use

    def wait(self, error: StorageInternalError, began: float, delay: float) -> None:
        """Sleep before the next attempt. Raises the error when it is not about the connection,
        LockstepError when patience has ended."""
        cause = error.__cause__
        if not isinstance(cause, OperationalError | InterfaceError):
            raise error
        left = began + self._patience - time.monotonic()
        if left <= 0:
            raise LockstepError(
                f"PostgreSQL at {self._place} has not answered for {self._patience:.0f} s "
                f"({first_line(cause)}): finished trials are kept; once it is back, the same "
                "command continues"
            ) from error
        if delay == FIRST_DELAY:
            logger.warning("PostgreSQL does not answer; trying again …")
        time.sleep(min(delay, left))

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        self._attempt = 0
        create = _patient(RDBStorage._create_new_trial)
        created: FrozenTrial = create(self, study_id, template_trial)
        return created

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Any
    ) -> models.TrialModel:
        """Called again after a failure, which may have lost nothing but the answer to a commit:
        then the trial is there, as the study's last one."""
        self._attempt += 1
        if self._attempt > 1:
            last = (
                session.query(models.TrialModel)
                .filter_by(study_id=study_id)
                .order_by(models.TrialModel.trial_id.desc())
                .first()
            )
            if last is not None and _is_of(last, template_trial):
                found: models.TrialModel = last
                return found
        return super()._get_prepared_new_trial(study_id, template_trial, session)

    def _set_state(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        try:
            return super().set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError:
            if super().get_trial(trial_id).state is state:
                return True  # by an attempt whose answer was lost
            raise


def _is_of(trial: Any, template: FrozenTrial | None) -> bool:
    if template is None:
        return trial.state is TrialState.RUNNING and not trial.params
    attributes = {each.key: json.loads(each.value_json) for each in trial.user_attributes}
    params = {
        each.param_name: json_to_distribution(each.distribution_json).to_external_repr(
            each.param_value
        )
        for each in trial.params
    }
    known = json.loads(json.dumps(template.user_attrs))
    return bool((attributes, params) == (known, template.params))


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def retried(self: PostgresStorage, *args: Any, **options: Any) -> Any:
        began, delay = time.monotonic(), FIRST_DELAY
        while True:
            try:
                return method(self, *args, **options)
            except StorageInternalError as error:
                self.wait(error, began, delay)
                delay = min(2 * delay, LONGEST_DELAY)

    return retried


# All that Optuna's cache calls; each may be repeated without harm.
for _name in (
    "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs",
    "get_study_system_attrs", "get_all_studies", "_set_trial_param",
    "get_trial_id_from_study_id_trial_number", "_get_best_trial_id", "get_trial", "_get_trials",
    "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr",
):  # fmt: skip
    setattr(PostgresStorage, _name, _patient(getattr(RDBStorage, _name)))
PostgresStorage.set_trial_state_values = _patient(PostgresStorage._set_state)  # type: ignore[method-assign]


class _Lease:
    """The advisory lock of a study, taken by each new connection before it is used."""

    def __init__(self, study: str) -> None:
        self._study = study
        digest = hashlib.sha256(f"lockstep {study}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        # In 63 bytes, which is what PostgreSQL keeps of an application's name.
        holder = f"lockstep/{os.getpid()}/{int(time.time())}/{socket.gethostname()}"
        self._holder = holder.encode("ascii", "replace")[:63].decode()

    def take(self, connection: Any, _: object) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        with connection.cursor() as cursor:
            for name, value in _SERVER.items():
                cursor.execute(f"SET {name} = {value}")
            cursor.execute("SELECT set_config('application_name', %s, false)", (self._holder,))
            while True:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (self._key,))
                if cursor.fetchone()[0]:
                    connection.commit()
                    return
                cursor.execute(_HOLDER, (self._key,))
                pid, holder = cursor.fetchone() or (None, self._holder)
                if holder != self._holder or time.monotonic() > deadline:
                    raise StudyBusyError(busy(self._study, _read(holder)))
                if pid is not None:  # our own lost connection, of whose end the server knows not
                    cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
                time.sleep(0.1)


def _read(holder: str) -> str:
    """What `lease.busy` takes."""
    name, *fields = holder.split("/", 3)
    if name != "lockstep" or len(fields) != 3:
        return ""
    pid, started, host = fields
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(started)))
    return json.dumps({"pid": pid, "host": host, "started": since})
