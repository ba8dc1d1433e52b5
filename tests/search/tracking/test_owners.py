"""Whose what is in MLflow: a study reads, changes and deletes its own alone."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import make_result
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from small_study import small_spec
from tracked import planned

from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.own_runs import delete_strays
from search.tracking.registered_model import check_registered_model, claim_registered_model
from search.tracking.results import present
from search.tracking.store import load_tracker, open_tracker
from search.tracking.tracker import Tracker
from search.trials.finished_trial import FinishedTrial
from search.trials.identity import Identity

OURS, THEIRS = "ours", "theirs"
_names = itertools.count()


def new_spec() -> StudySpec:
    """A study whose name nobody has used in the store."""
    return small_spec(name=f"owners-{next(_names)}")


def client_of(store: Settings) -> MlflowClient:
    return MlflowClient(store.mlflow_uri, registry_uri=store.mlflow_uri)


def everything(client: MlflowClient, name: str) -> list[Any]:
    """All that MLflow has under a name."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], "", ViewType.ALL)
    return [dict(experiment.tags), *sorted(map(seen, runs), key=str)]


def seen(run: Run) -> Any:
    info = run.info
    return info.run_id, info.status, info.lifecycle_stage, info.end_time, dict(run.data.tags)


def sentence(caught: pytest.ExceptionInfo[LockstepError]) -> str:
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 700
    return message


# -- experiments -------------------------------------------------------------------------------

LEGACY = {"lockstep.role": "trial", "lockstep.trial": "0"}


def absent(client: MlflowClient, name: str) -> dict[int, str]:
    return {}


def empty(client: MlflowClient, name: str) -> dict[int, str]:
    client.create_experiment(name, tags={"made": "by hand"})
    return {}


def our_own(client: MlflowClient, name: str) -> dict[int, str]:
    client.create_experiment(name, tags={"lockstep.study_id": OURS})
    return {}


def of_an_earlier_version(client: MlflowClient, name: str) -> dict[int, str]:
    experiment = client.create_experiment(name)
    client.create_run(experiment, tags={"lockstep.role": "trial", "lockstep.trial": "1"})
    return {0: client.create_run(experiment, tags=LEGACY).info.run_id}


def of_an_earlier_version_and_deleted(client: MlflowClient, name: str) -> dict[int, str]:
    recorded = of_an_earlier_version(client, name)
    client.delete_run(recorded[0])
    return recorded


def somebody_elses_run(client: MlflowClient, name: str) -> dict[int, str]:
    client.create_run(client.create_experiment(name))
    return {}


def somebody_elses_deleted_run(client: MlflowClient, name: str) -> dict[int, str]:
    experiment = client.create_experiment(name)
    client.delete_run(client.create_run(experiment).info.run_id)
    return {}


def another_study(client: MlflowClient, name: str) -> dict[int, str]:
    client.create_experiment(name, tags={"lockstep.study_id": THEIRS, "lockstep.owner": "/ann"})
    return {}


def another_study_of_an_earlier_version(client: MlflowClient, name: str) -> dict[int, str]:
    of_an_earlier_version(client, name)
    return {0: "0" * 32}  # ours ran elsewhere


FREE = [absent, empty, our_own, of_an_earlier_version, of_an_earlier_version_and_deleted]
TAKEN = [
    somebody_elses_run,
    somebody_elses_deleted_run,
    another_study,
    another_study_of_an_earlier_version,
]
Make = Callable[[MlflowClient, str], dict[int, str]]


@pytest.mark.parametrize("make", FREE)
def test_an_experiment_that_is_ours_or_nobodys(store: Settings, make: Make) -> None:
    spec, client, written = new_spec(), client_of(store), []
    recorded = make(client, spec.name)
    before = everything(client, spec.name)
    identity = Identity(OURS, recorded)
    tracker = open_tracker(spec, store, identity, lambda: written.append(1))
    assert written, "it is told before anything is written"
    tags = client.get_experiment(tracker.experiment_id).tags
    assert tags["lockstep.study_id"] == OURS
    assert str(store.home.resolve()) in tags["lockstep.owner"]
    after = everything(client, spec.name)[1:]
    tagged = {run[0] for run in after if run[-1].get("lockstep.study_id") == OURS}
    assert tagged == {tracker.parent_run_id, *tracker.known.active}
    for run in before[1:]:
        assert run in after or run[0] in tracker.known.active, "others are as they were"
    again = open_tracker(spec, store, identity)
    assert again.parent_run_id == tracker.parent_run_id
    assert load_tracker(spec, store, "here", identity).parent_run_id == tracker.parent_run_id
    assert load_tracker(spec, store, "here").identity.study_id == OURS


@pytest.mark.parametrize("make", TAKEN)
def test_an_experiment_of_somebody_else_is_refused(store: Settings, make: Make) -> None:
    spec, client, written = new_spec(), client_of(store), []
    recorded = make(client, spec.name)
    before = everything(client, spec.name)
    for identity in (Identity(OURS, recorded), Identity(None, recorded)):
        with pytest.raises(LockstepError) as caught:
            open_tracker(spec, store, identity, lambda: written.append(1))
        assert f"experiment {spec.name} in MLflow at sqlite:///" in sentence(caught)
        assert "give this study another name" in sentence(caught)
        assert "mlflow experiments rename -x" in sentence(caught)
        assert make is not another_study or "in /ann" in sentence(caught)
        with pytest.raises(LockstepError) as caught:
            load_tracker(spec, store, "here", identity)
        sentence(caught)
    assert not written
    assert everything(client, spec.name) == before, "it is as it was"


def test_one_of_several_studies_that_start_at_once_has_the_experiment(store: Settings) -> None:
    """The others are refused, and have written nothing."""
    spec, count = new_spec(), 4
    ready = threading.Barrier(count)

    def start(n: int) -> str:
        ready.wait()
        try:
            open_tracker(spec, store, Identity(f"study {n}"))
        except LockstepError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(count) as pool:
        refusals = list(pool.map(start, range(count)))
    assert len([each for each in refusals if "belongs to another study" in each]) == count - 1
    winner = f"study {refusals.index('')}"
    tags, *runs = everything(client_of(store), spec.name)
    assert tags["lockstep.study_id"] == winner
    assert [run[-1]["lockstep.study_id"] for run in runs] == [winner]


# -- runs ----------------------------------------------------------------------------------------

RUN = st.fixed_dictionaries(
    {},
    optional={
        "lockstep.study_id": st.sampled_from([OURS, THEIRS]),
        "lockstep.role": st.sampled_from(["study", "trial", "retrain", "mine"]),
        "lockstep.trial": st.sampled_from(["0", "1", "2", "-1", "two", ""]),
        "mlflow.parentRunId": st.sampled_from(["first", "none"]),
    },
)


@settings(max_examples=15)
@given(runs=st.lists(st.tuples(RUN, st.booleans(), st.sampled_from([None, 0, 1])), max_size=6))
def test_runs_of_others_are_left_as_they_are(
    store: Settings, runs: list[tuple[dict[str, str], bool, int | None]]
) -> None:
    """Whatever tags they have; and ours are each there once."""
    spec, client = new_spec(), client_of(store)
    first = open_tracker(spec, store, Identity(OURS))
    recorded: dict[int, str] = {}
    others = set()
    for tags, deleted, number in runs:
        tags = dict(tags)
        if tags.get("mlflow.parentRunId") == "first":
            tags["mlflow.parentRunId"] = first.parent_run_id
        run_id = client.create_run(first.experiment_id, tags=tags).info.run_id
        owner = tags.get("lockstep.study_id")
        if number is not None and owner != THEIRS and tags.get("lockstep.role") == "trial":
            recorded[number] = run_id
            client.set_tag(run_id, "lockstep.trial", str(number))
        elif owner != OURS:
            others.add(run_id)
        if deleted:
            client.delete_run(run_id)
    before = {run[0]: run for run in everything(client, spec.name)[1:] if run[0] in others}
    tracker = open_tracker(spec, store, Identity(OURS, recorded))
    delete_strays(tracker, recorded)
    again = open_tracker(spec, store, Identity(OURS, recorded))
    after = {run[0]: run for run in everything(client, spec.name)[1:]}
    assert {run_id: after[run_id] for run_id in others} == before
    assert again.parent_run_id == tracker.parent_run_id
    active = {run_id for run_id in recorded.values() if after[run_id][2] == "active"}
    assert again.known.active == active
    ours = [tags for _, _, stage, _, tags in after.values() if is_ours(tags) and stage == "active"]
    numbers = [tags.get("lockstep.trial") for tags in ours]
    for number, run_id in recorded.items():
        assert run_id not in active or numbers.count(str(number)) == 1


def is_ours(tags: dict[str, str]) -> bool:
    return tags.get("lockstep.study_id") == OURS and tags.get("lockstep.role") == "trial"


def test_runs_that_were_written_twice_are_deleted_once_the_recorded_one_is_there(
    store: Settings,
) -> None:
    """If it is not, a study whose runs are in another store too keeps what it has here."""
    spec, client = new_spec(), client_of(store)
    tracker = open_tracker(spec, store, Identity(OURS))
    first, second = (tracker.start_run("#0", "trial", LEGACY) for _ in range(2))

    def stages(recorded: dict[int, str]) -> list[str]:
        open_tracker(spec, store, Identity(OURS, recorded))
        delete_strays(tracker, recorded)
        return [client.get_run(run).info.lifecycle_stage for run in (first, second)]

    assert sorted(stages({0: "0" * 32})) == ["active", "deleted"], "one is left to be replaced"
    client.restore_run(first)
    assert stages({0: first}) == ["active", "deleted"]


# -- models --------------------------------------------------------------------------------------


def register(client: MlflowClient, name: str, tags: dict[str, str], run_id: str | None) -> None:
    client.create_registered_model(name, tags)
    client.create_model_version(name, "/nowhere", run_id)


MODELS: dict[str, tuple[dict[str, str] | None, str | None, bool]] = {
    "absent": (None, None, True),
    "our own": ({"lockstep.study_id": OURS}, "any", True),
    "ours, of an earlier version": ({}, "recorded", True),
    "another study's": ({"lockstep.study_id": THEIRS, "lockstep.owner": "/ann"}, "any", False),
    "another program's": ({}, "any", False),
    "a version without a run": ({}, None, False),
}


@pytest.mark.parametrize(("tags", "run", "free"), MODELS.values(), ids=MODELS)
def test_registered_models(
    store: Settings, tags: dict[str, str] | None, run: str | None, free: bool
) -> None:
    spec, client = new_spec(), client_of(store)
    run_id = client.create_run(client.create_experiment(f"{spec.name}-runs")).info.run_id
    if tags is not None:
        register(client, spec.name, tags, run_id if run is not None else None)
    retrains = frozenset([run_id]) if run == "recorded" else frozenset()
    identity = Identity(OURS, {}, retrains)
    if free:
        check_registered_model(client, spec.name, store, identity)
        for _ in range(2):
            claim_registered_model(client, spec.name, store, identity)
            assert client.get_registered_model(spec.name).tags["lockstep.study_id"] == OURS
        if run == "recorded":
            assert client.get_model_version(spec.name, "1").tags["lockstep.study_id"] == OURS
        return
    before = client.get_registered_model(spec.name)
    for use in (check_registered_model, claim_registered_model):
        with pytest.raises(LockstepError) as caught:
            use(client, spec.name, store, identity)
        assert f"registered model {spec.name} in MLflow at sqlite:///" in sentence(caught)
    with pytest.raises(LockstepError, match="registered model"):
        open_tracker(spec, store, identity)  # before its first launch, not after its last
    assert client.get_experiment_by_name(spec.name) is None
    assert dict(client.get_registered_model(spec.name)) == dict(before)


def test_a_study_that_was_copied_in_optuna_leaves_the_runs_of_the_first_alone(
    spec: StudySpec, tracker: Tracker, store: Settings
) -> None:
    """A copy under another name has the identity of the first, and refers to its runs."""
    run_id = tracker.start_run("#0", "trial", LEGACY)
    identity = Identity(tracker.identity.study_id, {0: run_id})
    trial = FinishedTrial.of(0, make_result(planned(spec, 0).hyperparameters), run_id)
    assert present(tracker, [trial], 1) == [trial]
    before = everything(tracker.client, spec.name)
    copy = open_tracker(new_spec(), store, identity)
    assert copy.known.active == frozenset()
    assert present(copy, [trial], 1) == []
    assert everything(tracker.client, spec.name) == before
