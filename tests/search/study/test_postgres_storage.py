"""The lease and the patience of the PostgreSQL storage, against a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import optuna
import psycopg
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from services import PASSWORD, Services, services

from search.errors import LockstepError, StudyBusyError
from search.study import postgres_storage as postgres
from search.study.postgres_storage import PostgresStorage, is_postgres

pytestmark = pytest.mark.xdist_group("services")
RANGE = FloatDistribution(0.0, 1.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Services]:
    with services() as started:
        started.start("postgres")
        yield started


@pytest.fixture
def url(server: Services, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return server.url("optuna")


def study_in(url: str, name: str, patience: float = 20.0) -> tuple[PostgresStorage, Any]:
    storage = PostgresStorage(url, name, patience)
    study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True)
    return storage, study


def finished(x: float) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        value=x, params={"x": x}, distributions={"x": RANGE}, user_attrs={"mlflow.run_id": f"{x}"}
    )


def elsewhere(study: str) -> Any:
    """The lease of a driver on another machine; this process's own one would take over."""
    lease = postgres._Lease(study)
    lease._holder = "lockstep/1/0/elsewhere"
    return lease


def end_sessions(server: Services) -> None:
    """As a restart does, or an administrator."""
    server._sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'lock%'"
    )


def test_which_urls_are_postgres() -> None:
    assert is_postgres("postgresql+psycopg://me@host/db")
    assert not is_postgres("sqlite:///x.db")
    assert not is_postgres("nonsense")
    assert not is_postgres(None)


def test_a_second_driver_is_refused_until_the_first_ends(url: str) -> None:
    first, _ = study_in(url, "leased")
    busy = r"study leased is being run by process \d+ on \S+, since"
    with (
        psycopg.connect(url.replace("+psycopg", "")) as connection,
        pytest.raises(StudyBusyError, match=busy),
    ):
        elsewhere("leased").take(connection, None)
    PostgresStorage(url, "another study", 1.0).engine.dispose()
    first.remove_session()
    first.engine.dispose()
    again, _ = study_in(url, "leased")
    again.engine.dispose()


def test_lost_sessions_are_made_anew(server: Services, url: str) -> None:
    storage, study = study_in(url, "lost")
    for x in (0.1, 0.2, 0.3):
        study.add_trial(finished(x))
        end_sessions(server)
    trial = study.ask({"x": RANGE})
    end_sessions(server)
    study.tell(trial.number, 0.5)
    assert [each.state for each in study.get_trials()] == [TrialState.COMPLETE] * 4
    storage.engine.dispose()


@pytest.mark.parametrize("when", range(8))
def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    url: str, when: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies after the n-th commit, before its answer arrives."""
    storage, study = study_in(url, f"unanswered-{when}")
    commit, left = psycopg.Connection.commit, [when]

    def unanswered(self: Any) -> None:
        commit(self)
        left[0] -= 1
        if left[0] == -1:
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(psycopg.Connection, "commit", unanswered)
    study.add_trial(finished(0.1))
    trial = study.ask({"x": RANGE})
    trial.set_user_attr("key", 1)
    study.tell(trial.number, 0.5)
    study.add_trial(finished(0.2))
    monkeypatch.undo()
    assert left[0] < 0, "nothing was lost"
    found = study.get_trials()
    assert [each.number for each in found] == [0, 1, 2]
    assert [each.value for each in found] == [0.1, 0.5, 0.2]
    assert found[1].user_attrs == {"key": 1}
    storage.engine.dispose()


@pytest.mark.parametrize("when", range(3))
def test_planned_trials_are_not_taken_for_each_other(
    url: str, when: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies before the n-th commit: what is made again is not yet there, though one
    like it, with other hyperparameters, is."""
    storage, study = study_in(url, f"planned-{when}")
    commit, left = psycopg.Connection.commit, [when]

    def lost(self: Any) -> None:
        left[0] -= 1
        if left[0] == -1:
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        commit(self)

    monkeypatch.setattr(psycopg.Connection, "commit", lost)
    for x in (0.1, 0.2, 0.3):
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING, params={"x": x}, distributions={"x": RANGE}
            )
        )
    monkeypatch.undo()
    assert left[0] < 0, "nothing was lost"
    assert [each.params["x"] for each in study.get_trials()] == [0.1, 0.2, 0.3]
    storage.engine.dispose()


def test_a_driver_whose_lease_was_taken_cannot_write(server: Services, url: str) -> None:
    storage, study = study_in(url, "taken")
    end_sessions(server)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        elsewhere("taken").take(connection, None)
        with pytest.raises(StudyBusyError, match="process 1 on elsewhere"):
            study.add_trial(finished(0.1))
    assert study.get_trials() == []
    storage.engine.dispose()


def test_a_restarted_server_is_waited_for(server: Services, url: str) -> None:
    storage, study = study_in(url, "restarted")
    study.add_trial(finished(0.1))
    server.kill("postgres")
    back = threading.Thread(target=lambda: (time.sleep(2), server.start("postgres")))
    back.start()
    study.add_trial(finished(0.2))
    back.join()
    assert [each.value for each in study.get_trials()] == [0.1, 0.2]
    storage.engine.dispose()


def test_a_server_that_stays_away(server: Services, url: str) -> None:
    storage, study = study_in(url, "away", patience=1.0)
    server.kill("postgres")
    with pytest.raises(
        LockstepError, match=r"has not answered for 1 s .*the same command continues"
    ):
        study.add_trial(finished(0.1))
    server.start("postgres")
    storage.engine.dispose()
