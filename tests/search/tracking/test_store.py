"""Stores that cannot be used, and stores that are only read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from small_study import small_spec
from tracked import opened, runs_of

from core.datasets.study_data import StudyData
from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.tracking.store import load_tracker
from search.tracking.tracker import (
    Tracker,
)


def sentence(caught: pytest.ExceptionInfo[LockstepError]) -> str:
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 700
    return message


def test_a_deleted_experiment(spec: StudySpec, tracker: Tracker, store: Settings) -> None:
    tracker.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(LockstepError) as caught:
        opened(spec, store)
    assert f"experiment {spec.name} was deleted" in sentence(caught)
    assert f"mlflow experiments restore -x {tracker.experiment_id}" in sentence(caught)
    with pytest.raises(LockstepError) as caught:
        load_tracker(spec, store, "lockstep compare")
    sentence(caught)
    tracker.client.restore_experiment(tracker.experiment_id)
    assert opened(spec, store).parent_run_id == tracker.parent_run_id


def test_reading_a_study_that_was_never_launched(
    spec: StudySpec, tracker: Tracker, store: Settings, tmp_path: Path
) -> None:
    assert load_tracker(spec, store, "here").parent_run_id == tracker.parent_run_id
    with pytest.raises(LockstepError) as caught:
        load_tracker(small_spec(name="another"), store, "here")
    assert "no runs of another" in sentence(caught)
    home = tmp_path / "empty"
    with pytest.raises(LockstepError) as caught:
        load_tracker(spec, Settings(home=home), "here")
    assert "--tracking-uri" in sentence(caught)
    assert not home.exists(), "looking creates nothing"


def test_reading_leaves_the_parent_run_as_it_is(
    spec: StudySpec, tracker: Tracker, store: Settings, splits: StudyData
) -> None:
    tracker.finish("done", [], {})
    load_tracker(spec, store, "lockstep compare")
    assert runs_of(tracker, "study")[0].info.status == "FINISHED"


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:1",
        "http://me:s3cret@127.0.0.1:1",
        "nothing://me:s3cret@host/db",
        "http://me:s3cret@[::1",
        "http://",
    ],
)
def test_a_server_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    spec = small_spec()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    settings = Settings(home=tmp_path / "runs", tracking_uri=uri)
    started = time.monotonic()
    for use in (
        lambda: opened(spec, settings),
        lambda: load_tracker(spec, settings, "here"),
    ):
        with pytest.raises(LockstepError) as caught:
            use()
        assert "s3cret" not in sentence(caught)
        assert "MLflow at" in sentence(caught)
    assert time.monotonic() - started < 100, "MLflow would try for minutes"
    assert not (tmp_path / "runs").exists()


def test_a_store_that_is_not_one(spec: StudySpec, tmp_path: Path) -> None:
    home = tmp_path / "runs"
    home.mkdir()
    (home / "mlflow.db").write_text("this is no database, though it is long enough to be one" * 9)
    with pytest.raises(LockstepError) as caught:
        opened(spec, Settings(home=home))
    assert "mlflow.db" in sentence(caught)
