"""The lease and the patience of a driver whose study is in PostgreSQL, on a real server."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import optuna
import psycopg
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState
from services import Services

from search.errors import LockstepError, StudyBusyError
from search.postgres import is_postgres
from search.study.postgres_lease import PostgresLease
from search.study.postgres_storage import leased_storage

pytestmark = pytest.mark.xdist_group("postgres")
RANGE = FloatDistribution(0.0, 1.0)
Break = Callable[..., contextlib.AbstractContextManager[None]]


@pytest.fixture
def url(postgres: Services) -> str:
    return postgres.url("optuna")


@contextlib.contextmanager
def driven(url: str, name: str, patience: float = 20.0) -> Iterator[optuna.Study]:
    """A study and its driver's storage."""
    with leased_storage(url, name, patience) as storage:
        yield optuna.create_study(study_name=name, storage=storage, load_if_exists=True)


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Within, the connection is lost at the n-th commit, counted from 0: before it is made, or
    after it, so that only its answer is lost."""
    commit = psycopg.Connection.commit

    @contextlib.contextmanager
    def broken(when: int, *, answer_only: bool) -> Iterator[None]:
        left = when

        def unanswered(self: Any) -> None:
            nonlocal left
            left -= 1
            if left != -1 or answer_only:
                commit(self)
            if left == -1:
                self.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Connection, "commit", unanswered)
            yield
        assert left < 0, "nothing was lost"

    return broken


def finished(x: float) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        value=x, params={"x": x}, distributions={"x": RANGE}, user_attrs={"mlflow.run_id": f"{x}"}
    )


def elsewhere(study: str) -> PostgresLease:
    """The lease of a driver on another machine; this process's own one would take over."""
    return PostgresLease(study, "lockstep/1/0/elsewhere")


def end_sessions(server: Services) -> None:
    """As a restart does, or an administrator."""
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'lock%'"
    )


def test_which_urls_are_postgres() -> None:
    assert is_postgres("postgresql+psycopg://me@host/db")
    assert not is_postgres("sqlite:///x.db")
    assert not is_postgres("nonsense")
    assert not is_postgres(None)


def test_a_second_driver_is_refused_until_the_first_ends(url: str) -> None:
    with driven(url, "leased"):
        busy = r"study leased is being run by process \d+ on \S+, since"
        with (
            psycopg.connect(url.replace("+psycopg", "")) as connection,
            pytest.raises(StudyBusyError, match=busy),
        ):
            elsewhere("leased").take(connection)
        assert connection.closed
        with driven(url, "another study"):
            pass
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        elsewhere("leased").take(connection)
        with pytest.raises(StudyBusyError, match="process 1 on elsewhere"), driven(url, "leased"):
            pass
    with driven(url, "leased"):
        pass


def test_lost_sessions_are_made_anew(postgres: Services, url: str) -> None:
    with driven(url, "lost") as study:
        for x in (0.1, 0.2, 0.3):
            study.add_trial(finished(x))
            end_sessions(postgres)
        trial = study.ask({"x": RANGE})
        end_sessions(postgres)
        study.tell(trial.number, 0.5)
        assert [each.state for each in study.get_trials()] == [TrialState.COMPLETE] * 4


@pytest.mark.parametrize("when", range(14))
def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    url: str, when: int, breaks: Break
) -> None:
    """The connection dies after the n-th commit, before its answer arrives."""
    with driven(url, f"unanswered-{when}") as study:
        with breaks(when, answer_only=True):
            study.add_trial(finished(0.1))
            trial = study.ask({"x": RANGE})
            trial.set_user_attr("key", 1)
            study.tell(trial.number, 0.5)
            study.add_trial(finished(0.2))
        found = study.get_trials()
        assert [each.number for each in found] == [0, 1, 2]
        assert [each.value for each in found] == [0.1, 0.5, 0.2]
        assert found[1].user_attrs == {"key": 1}


@pytest.mark.parametrize("when", range(3))
def test_planned_trials_are_not_taken_for_each_other(url: str, when: int, breaks: Break) -> None:
    """The connection dies before the n-th commit: what is made again is not yet there, though one
    like it, with other hyperparameters, is."""
    with driven(url, f"planned-{when}") as study:
        with breaks(when, answer_only=False):
            for x in (0.1, 0.2, 0.3):
                study.add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.RUNNING, params={"x": x}, distributions={"x": RANGE}
                    )
                )
        assert [each.params["x"] for each in study.get_trials()] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("answer_only", [False, True])
def test_trials_alike_are_not_taken_for_each_other(
    url: str, answer_only: bool, breaks: Break
) -> None:
    with leased_storage(url, "alike", 20.0) as storage:
        study = storage.create_new_study([StudyDirection.MINIMIZE], f"alike-{answer_only}")
        first = storage.create_new_trial(study)
        with breaks(0, answer_only=answer_only):
            second = storage.create_new_trial(study)
        third = storage.create_new_trial(study)
        assert len({first, second, third}) == 3
        assert [storage.get_trial_number_from_id(each) for each in (first, second, third)] == [
            0, 1, 2
        ]  # fmt: skip
        assert storage.get_n_trials(study) == 3


@pytest.mark.parametrize("answer_only", [False, True])
def test_other_changes_are_made_once(url: str, answer_only: bool, breaks: Break) -> None:
    def lost(when: int = 0) -> contextlib.AbstractContextManager[None]:
        return breaks(when, answer_only=answer_only)

    with leased_storage(url, "once", 20.0) as storage:
        with lost():
            study = storage.create_new_study([StudyDirection.MAXIMIZE], f"once-{answer_only}")
        assert storage.get_study_directions(study) == [StudyDirection.MAXIMIZE]
        waiting = storage.create_new_trial(
            study, optuna.trial.create_trial(state=TrialState.WAITING)
        )
        with lost():
            assert storage.set_trial_state_values(waiting, TrialState.RUNNING)
        with lost():
            storage.set_trial_param(waiting, "x", 0.5, RANGE)
        with lost():
            storage.set_trial_intermediate_value(waiting, 3, 0.25)
        with lost():
            assert storage.set_trial_state_values(waiting, TrialState.COMPLETE, [0.75])
        trial = storage.get_trial(waiting)
        assert (trial.params, trial.intermediate_values, trial.value) == (
            {"x": 0.5},
            {3: 0.25},
            0.75,
        )
        with lost(), pytest.raises(UpdateFinishedTrialError):
            storage.set_trial_state_values(waiting, TrialState.COMPLETE, [0.5])
        with lost():
            storage.delete_study(study)
        with pytest.raises(KeyError):
            storage.get_study_name_from_id(study)


def test_a_driver_whose_lease_was_taken_cannot_write(postgres: Services, url: str) -> None:
    with driven(url, "taken") as study:
        running = study.ask()
        end_sessions(postgres)
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            elsewhere("taken").take(connection)
            for write in (
                lambda: study.add_trial(finished(0.1)),
                lambda: study.tell(running.number, 0.5),
                lambda: study.set_user_attr("key", 1),
            ):
                with pytest.raises(StudyBusyError, match="process 1 on elsewhere"):
                    write()
        assert [each.state for each in study.get_trials()] == [TrialState.RUNNING]
        assert study.user_attrs == {}


def test_a_restarted_server_is_waited_for(postgres: Services, url: str) -> None:
    with driven(url, "restarted") as study:
        study.add_trial(finished(0.1))
        postgres.kill("postgres")
        back = threading.Thread(target=lambda: (time.sleep(2), postgres.start("postgres")))
        back.start()
        study.add_trial(finished(0.2))
        back.join()
        assert [each.value for each in study.get_trials()] == [0.1, 0.2]


def test_a_server_that_stays_away(postgres: Services, url: str) -> None:
    with driven(url, "away", patience=1.0) as study:
        postgres.kill("postgres")
        with pytest.raises(
            LockstepError,
            match=r"^PostgreSQL at \S+ has not answered for 1 s .*the same command continues$",
        ):
            study.add_trial(finished(0.1))
        postgres.start("postgres")


@pytest.fixture
def new_database(postgres: Services) -> str:
    """The address of an empty database."""
    name = f"empty{time.monotonic_ns()}"
    postgres.sql(f"CREATE DATABASE {name} OWNER lockstep")
    return postgres.url(name)


def test_studies_that_start_at_once_in_a_new_database(new_database: str) -> None:
    """Each makes the tables."""
    count = 4
    ready = threading.Barrier(count)

    def start(n: int) -> int:
        ready.wait()
        with driven(new_database, f"study {n}") as study:
            study.add_trial(finished(0.5))
            return len(study.trials)

    with ThreadPoolExecutor(count) as pool:
        assert list(pool.map(start, range(count))) == [1] * count


def test_the_database_of_another_program(new_database: str) -> None:
    with psycopg.connect(new_database.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32))")
    with pytest.raises(LockstepError, match="database of another program"):
        driven(new_database, "small").__enter__()
    with psycopg.connect(new_database.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchall() == [("alembic_version",)], "nothing is made"
