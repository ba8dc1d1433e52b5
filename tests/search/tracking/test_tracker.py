from __future__ import annotations

import io
import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Run
from PIL import Image
from stored import preset, preset_runs

from core.datasets.splits import Splits
from core.trainer.result import Curves, Hyperparameters, Status, TrainingResult
from search.errors import LockstepError
from search.settings import Settings
from search.spec.objective import Objective
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.tracking.links import BEST_VIEW, SEARCH_VIEW, SIDE_VIEW, TABLE_VIEW, charts_url
from search.tracking.results import read_result
from search.tracking.run_content import logged_epochs, run_name
from search.tracking.store import load_tracker, open_tracker
from search.tracking.tracker import (
    MAX_METRICS,
    RESULT,
    TEMPLATES,
    Artifact,
    Tracker,
)
from search.tracking.view_format import COMPARED
from search.tracking.views import (
    ScaledWeights,
    image_key,
    log_weight_images,
    share_table,
    share_views,
    view_urls,
)
from search.trials.finished_trial import FinishedTrial
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial

MakeSpec = Callable[..., StudySpec]
MakeSplits = Callable[..., Splits]
MakeResult = Callable[..., TrainingResult]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One SQLite store for all tests, since making one takes seconds; each has its own study."""
    return Settings(home=tmp_path_factory.mktemp("store") / "runs", every_epoch=True)


@pytest.fixture
def spec(request: pytest.FixtureRequest, make_spec: MakeSpec) -> StudySpec:
    """The small study under the test's name."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:64]
    return make_spec(('"small"', f'"{name}"'))


@pytest.fixture
def tracker(spec: StudySpec, store: Settings) -> Tracker:
    return open_tracker(spec, store, {})


def runs(tracker: Tracker, role: str) -> list[Run]:
    """The runs that a user sees."""
    return list(
        tracker.client.search_runs([tracker.experiment_id], f"tags.`lockstep.role` = '{role}'")
    )


def artifact(tracker: Tracker, run_id: str, path: str, folder: Path) -> bytes:
    return Path(tracker.client.download_artifacts(run_id, path, str(folder))).read_bytes()


def planned(spec: StudySpec, number: int) -> PlannedTrial:
    return PlannedTrial(number, grid(spec.space)[number])


# -- the parent run ----------------------------------------------------------------------------


def test_opening_makes_an_experiment_and_a_parent_run(
    spec: StudySpec, tracker: Tracker, store: Settings
) -> None:
    experiment = tracker.client.get_experiment(tracker.experiment_id)
    assert experiment.name == spec.name
    assert Path(experiment.artifact_location.removeprefix("file://")) == store.artifacts / spec.name
    (parent,) = runs(tracker, "study")
    assert parent.info.run_id == tracker.parent_run_id
    assert parent.info.status == "RUNNING"
    assert parent.data.tags["mlflow.note.content"] == spec.description
    assert parent.data.params["model.epochs"] == "5"
    assert parent.data.params["space.learning_rate.low"] == "0.001"
    assert parent.data.params["space.batch_size"] == "[16, 8]"
    tracker.stop()
    assert runs(tracker, "study")[0].info.status == "KILLED"
    again = open_tracker(spec, store, {})
    assert (again.experiment_id, again.parent_run_id) == (
        tracker.experiment_id,
        tracker.parent_run_id,
    )
    assert [run.info.status for run in runs(again, "study")] == ["RUNNING"]


def test_finishing_writes_note_data_figures_and_metrics(
    spec: StudySpec, tracker: Tracker, splits: Splits, tmp_path: Path
) -> None:
    for n in (1, 2):  # a launch that is repeated writes it all again
        figure = Artifact("figures/heat_maps.png", f"picture {n}".encode())
        tracker.log_study_data(splits)
        tracker.finish(f"**note {n}**", [figure], {"best_val_loss": n / 4})
        (parent,) = runs(tracker, "study")
        assert parent.info.status == "FINISHED"
        assert parent.data.tags["mlflow.note.content"] == f"**note {n}**"
        assert parent.data.metrics["best_val_loss"] == n / 4
        assert parent.inputs is not None
        names = [each.dataset.name for each in parent.inputs.dataset_inputs]
        assert sorted(names) == [f"{spec.name} train", f"{spec.name} validation"]
        content = artifact(tracker, parent.info.run_id, figure.path, tmp_path)
        assert content == figure.content


def test_a_parameter_longer_than_mlflow_takes(make_spec: MakeSpec, store: Settings) -> None:
    sizes = ", ".join(str(size) for size in range(1, 3000))
    spec = make_spec(('"small"', '"long-parameter"'), ("[16, 8]", f"[{sizes}]"))
    (parent,) = runs(open_tracker(spec, store, {}), "study")
    assert parent.data.params["space.batch_size"].startswith("[1, 2, 3, 4")


# -- trials ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
def test_a_trial_is_logged_whole(
    spec: StudySpec,
    tracker: Tracker,
    splits: Splits,
    make_result: MakeResult,
    tmp_path: Path,
    status: Status,
) -> None:
    trial = planned(spec, 4)
    result = make_result(trial.hyperparameters, status, epochs=5)
    run_id = tracker.log_trial(trial, Outcome(result), splits)
    (run,) = runs(tracker, "trial")
    assert run.info.run_id == run_id
    assert (
        run.info.status
        == {
            Status.COMPLETED: "FINISHED",
            Status.PRUNED: "KILLED",
            Status.DIVERGED: "FAILED",
        }[status]
    )
    ended = "" if status is Status.COMPLETED else f" {status.name.lower()}, epoch"
    assert run.info.run_name == run_name(trial, result)
    assert run.info.run_name.startswith(f"#4{ended}")
    assert run.info.run_name.endswith("lr 0.01 wd 0.25 B 8")
    assert run_name(trial) == "#4 lr 0.01 wd 0.25 B 8"
    assert run.info.end_time >= run.info.start_time

    assert run.data.params == {
        "learning_rate": "0.01",
        "weight_decay": "0.25",
        "batch_size": "8",
        "log10_learning_rate": "-2.0000",
        "log10_weight_decay": "-0.6021",
        "penalty": "norm",
        "epochs": "5",
        "seed": "0",
    }
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == tracker.parent_run_id
    assert tags["lockstep.trial"] == "4"
    assert tags["lockstep.status"].startswith(status.value)
    assert ("(epoch 5)" in tags["lockstep.status"]) == (status is not Status.COMPLETED)

    last = 4 if status is Status.DIVERGED else 5
    for name in Curves.names():
        points = tracker.client.get_metric_history(run_id, name)
        assert [point.step for point in points] == list(range(1, last + 1))
        assert [point.value for point in points] == list(getattr(result.curves, name)[:last])
    assert run.data.metrics["best_epoch"] == last
    assert run.data.metrics["stopped_epoch"] == 5
    assert all(math.isfinite(value) for value in run.data.metrics.values())

    inputs = {
        each.tags[0].value: json.loads(each.dataset.profile)["rows"]
        for each in run.inputs.dataset_inputs
    }
    assert inputs == {"train": 60, "validation": 24}
    sources = [json.loads(each.dataset.source) for each in run.inputs.dataset_inputs]
    assert {each["sha256"] for each in sources} == {splits.train.digest, splits.validation.digest}

    with Image.open(io.BytesIO(artifact(tracker, run_id, TEMPLATES, tmp_path))) as picture:
        assert picture.format == "PNG"
    kept = read_result(tracker, run_id)
    assert kept is not None
    weights, curves = kept.weights, kept.curves
    np.testing.assert_array_equal(weights, result.weights, strict=True)
    for name in Curves.names():
        np.testing.assert_array_equal(getattr(curves, name), getattr(result.curves, name))
    assert {file.path for file in tracker.client.list_artifacts(run_id)} == {TEMPLATES, RESULT}


def test_a_trial_that_diverged_at_once(
    spec: StudySpec, tracker: Tracker, splits: Splits, make_result: MakeResult
) -> None:
    """Not one finite value, in its curves or in its weights."""
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, Status.DIVERGED, epochs=1)
    result.weights[:] = math.nan
    for name in Curves.names():
        getattr(result.curves, name)[:] = math.inf
    tracker.log_trial(trial, Outcome(result), splits)
    (run,) = runs(tracker, "trial")
    assert run.info.status == "FAILED"
    assert set(run.data.metrics) == {"best_epoch", "stopped_epoch"}


def test_a_weight_decay_of_zero_has_no_logarithm(
    spec: StudySpec, tracker: Tracker, splits: Splits, make_result: MakeResult
) -> None:
    trial = planned(spec, 0)
    assert trial.hyperparameters.weight_decay == 0
    tracker.log_trial(trial, Outcome(make_result(trial.hyperparameters)), splits)
    (run,) = runs(tracker, "trial")
    assert run.data.params["weight_decay"] == "0.0"
    assert "log10_weight_decay" not in run.data.params


def test_more_points_than_one_call_takes(
    spec: StudySpec, tracker: Tracker, splits: Splits, make_result: MakeResult
) -> None:
    epochs = MAX_METRICS // 4 + 3
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, epochs=epochs)
    run_id = tracker.log_trial(trial, Outcome(result), splits)
    for name in Curves.names():
        points = tracker.client.get_metric_history(run_id, name)
        assert [point.value for point in points] == list(getattr(result.curves, name))
    run = tracker.client.get_run(run_id)
    assert run.data.metrics["best_epoch"] == epochs
    assert run.data.params["batch_size"] == "8"


def test_thinned_curves(
    spec: StudySpec, store: Settings, splits: Splits, make_result: MakeResult
) -> None:
    """MLflow gets some epochs, the run's file all of them."""
    tracker = open_tracker(spec, replace(store, every_epoch=False), {})
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, epochs=22)
    run_id = tracker.log_trial(trial, Outcome(result), splits)
    points = tracker.client.get_metric_history(run_id, "val_loss")
    expected = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 22]
    assert [point.step for point in points] == expected
    assert [point.value for point in points] == [result.curves.val_loss[e - 1] for e in expected]
    assert tracker.client.get_run(run_id).data.metrics["val_loss"] == result.curves.val_loss[-1]
    kept = read_result(tracker, run_id)
    assert kept is not None
    assert len(kept.curves) == 22


@pytest.mark.parametrize("n_epochs", [1, 2, 9, 10, 11, 15, 99, 100])
def test_logged_epochs(n_epochs: int) -> None:
    some = logged_epochs(n_epochs, every=False)
    assert logged_epochs(n_epochs, every=True) == list(range(n_epochs))
    assert some == sorted(set(some))
    assert (some[0], some[-1]) == (0, n_epochs - 1)
    assert some[:10] == list(range(n_epochs))[:10]
    assert max(np.diff(some), default=0) <= 5


# -- what a killed driver left behind ----------------------------------------------------------


def test_runs_that_were_never_committed_are_replaced(
    spec: StudySpec, store: Settings, splits: Splits, make_result: MakeResult
) -> None:
    first = open_tracker(spec, store, {})
    trials = [planned(spec, number) for number in range(3)]
    results = [make_result(trial.hyperparameters) for trial in trials]
    whole = [
        first.log_trial(trial, Outcome(result), splits)
        for trial, result in zip(trials[:2], results[:2], strict=True)
    ]
    # Number 0 was committed; 1 is whole but was not; 2 was killed in the middle.
    half = first.start_run(run_name(trials[2], results[2]), "trial", {"lockstep.trial": "2"})

    second = open_tracker(spec, store, {0: whole[0]})
    assert second.known.leftovers == {1: whole[1], 2: half}
    written = [
        second.log_trial(trial, Outcome(result), splits)
        for trial, result in zip(trials[1:], results[1:], strict=True)
    ]
    found = runs(second, "trial")
    assert {run.info.run_id for run in found} == {whole[0], *written}
    assert sorted(run.data.tags["lockstep.trial"] for run in found) == ["0", "1", "2"]
    assert {run.info.status for run in found} == {"FINISHED"}
    committed = dict(enumerate([whole[0], *written]))
    assert open_tracker(spec, store, committed).known.leftovers == {}


def test_an_aborted_run_is_failed(tracker: Tracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.run("a", "retrain", {"x": "1"}):
        raise KeyboardInterrupt
    with tracker.run("b", "retrain", {"x": "2"}):
        pass
    found = {run.data.tags["x"]: run.info.status for run in runs(tracker, "retrain")}
    assert found == {"1": "FAILED", "2": "FINISHED"}


# -- images and presets ------------------------------------------------------------------------

ODD_NAMES = ("T-shirt/top", "a b", "../../etc", "ü'\"%", "x" * 60)


@pytest.mark.parametrize("name", [*ODD_NAMES, "", "\\", "猫", "a\u2028b", "#?&"])
def test_image_keys_are_safe(name: str) -> None:
    assert re.fullmatch(r"weights/[A-Za-z0-9_.-]+", image_key(name))
    assert image_key(name) not in ("weights/.", "weights/..")


@pytest.mark.parametrize(
    "names",
    [("a/b", "a b", "a_b"), ("猫", "犬"), ("+1", "-1", " 1"), ("A", "a"), ("x" * 300, "x" * 301)],
    ids=["punctuation", "scripts", "signs", "case", "long"],
)
def test_weight_images_of_different_classes_are_apart(
    spec: StudySpec,
    tracker: Tracker,
    make_splits: MakeSplits,
    make_result: MakeResult,
    names: tuple[str, ...],
) -> None:
    """The preset names each class's images by a key: it must be the class's own."""
    splits = make_splits(names)
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, n_classes=len(names))
    run_id = tracker.log_trial(trial, Outcome(result), splits)
    finished = FinishedTrial.of(0, result, run_id)
    log_weight_images(tracker, finished, splits, ScaledWeights(result.weights, 1.0, 1))
    assert len(image_keys(tracker, run_id)) == len(names)


def image_keys(tracker: Tracker, run_id: str) -> set[str]:
    """Keys of the logged images, from their file names, as the UI takes them."""
    paths = [file.path for file in tracker.client.list_artifacts(run_id, "images")]
    pictures = [path for path in paths if path.endswith(".png")]
    return {re.split(r"[%+]step", path)[0].removeprefix("images/") for path in pictures}


def test_weight_images_are_logged_once(
    spec: StudySpec, tracker: Tracker, make_splits: MakeSplits, make_result: MakeResult
) -> None:
    splits = make_splits(ODD_NAMES)
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, n_classes=len(ODD_NAMES))
    run_id = tracker.log_trial(trial, Outcome(result), splits)
    finished = FinishedTrial.of(0, result, run_id)
    log_weight_images(tracker, finished, splits, ScaledWeights(result.weights, 1.5, 1))
    files = [file.path for file in tracker.client.list_artifacts(run_id, "images")]
    assert len(image_keys(tracker, run_id)) == len(ODD_NAMES)
    for again in (tracker, open_tracker(spec, store_of(tracker), {0: run_id})):
        log_weight_images(again, finished, splits, ScaledWeights(result.weights, 1.5, 1))
        assert [file.path for file in again.client.list_artifacts(run_id, "images")] == files
    assert tracker.client.get_run(run_id).info.status == "FINISHED"


def store_of(tracker: Tracker) -> Settings:
    return Settings(home=Path(tracker.uri.removeprefix("sqlite:///")).parent)


def shared_view(tracker: Tracker, key: str) -> dict[str, Any]:
    return preset(tracker.client, tracker.experiment_id, key)


@pytest.mark.parametrize("objective", list(Objective))
def test_presets_of_the_chart_view(tracker: Tracker, objective: Objective) -> None:
    run_ids = [f"{n:032x}" for n in range(10)]
    for _ in range(2):
        share_views(tracker, run_ids, 700, ("T-shirt/top", "6"), objective)
    best = shared_view(tracker, BEST_VIEW)
    assert preset_runs(best) == run_ids
    assert best["orderByKey"] == "tags.`lockstep.rank`"
    assert not best["orderByAsc"], "the grid's columns run against the list"
    (images,) = [
        chart
        for chart in best["compareRunCharts"]
        if chart["type"] == "IMAGE" and not chart["deleted"]
    ]
    assert images["imageKeys"] == [image_key("T-shirt/top"), "weights/6"]
    everything = shared_view(tracker, SEARCH_VIEW)
    assert tracker.parent_run_id in everything["searchFilter"]
    side = shared_view(tracker, SIDE_VIEW)
    assert preset_runs(side) == run_ids[:COMPARED]
    for view in (best, everything, side):
        known = {section["uuid"] for section in view["compareRunSections"]}
        uuids = [chart["uuid"] for chart in view["compareRunCharts"]]
        assert len(uuids) == len(set(uuids))
        assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} <= known
    for view in (best, everything):
        (parallel,) = [c for c in view["compareRunCharts"] if c["type"] == "PARALLEL"]
        assert parallel["selectedMetrics"] == [objective]


def test_the_filters_of_the_presets_find_their_runs(
    spec: StudySpec, tracker: Tracker, splits: Splits, make_result: MakeResult
) -> None:
    """MLflow's own search takes them."""
    run_ids = []
    for number, status in enumerate((Status.COMPLETED, Status.DIVERGED, Status.COMPLETED)):
        trial = planned(spec, number)
        result = make_result(trial.hyperparameters, status)
        run_ids.append(tracker.log_trial(trial, Outcome(result), splits))
    best = [run_ids[2], run_ids[0]]
    share_views(tracker, best, len(best), splits.train.class_names, Objective.LOSS)
    share_table(tracker, Objective.LOSS)
    for key, expected in (
        (BEST_VIEW, best),
        (SEARCH_VIEW, best),
        (SIDE_VIEW, best),
        (TABLE_VIEW, run_ids),
    ):
        condition = shared_view(tracker, key)["searchFilter"]
        found = tracker.client.search_runs([tracker.experiment_id], condition)
        assert {run.info.run_id for run in found} == set(expected)
    order = shared_view(tracker, TABLE_VIEW)["orderByKey"]
    found = tracker.client.search_runs(
        [tracker.experiment_id], condition, order_by=[f"{order} ASC"]
    )
    assert found[-1].info.run_id == run_ids[1], "what diverged stands below what is ranked"


def test_only_presets_that_exist_are_linked(tracker: Tracker) -> None:
    """A link to another one would open an error."""
    share_table(tracker, Objective.LOSS)
    assert view_urls(tracker, "http://x") == {}, "a launch has not ended yet"
    run_ids = [f"{n:032x}" for n in range(COMPARED)]
    share_views(tracker, run_ids[:1], 1, ("3", "6"), Objective.LOSS)
    assert set(view_urls(tracker, "http://x")) == {BEST_VIEW, SEARCH_VIEW}, "nothing to compare"
    share_views(tracker, run_ids, 2, ("3", "6"), Objective.LOSS)
    urls = view_urls(tracker, "http://x")
    assert set(urls) == {BEST_VIEW, SEARCH_VIEW, SIDE_VIEW}
    assert urls[SIDE_VIEW] == charts_url("http://x", tracker.experiment_id, SIDE_VIEW)


def test_presets_of_very_many_classes(tracker: Tracker) -> None:
    """A tag holds 5000 characters; a preset that does not fit must not stop a launch."""
    rng = np.random.default_rng(0)
    names = tuple(bytes(rng.integers(97, 123, 30, dtype=np.uint8)).decode() for _ in range(1000))
    share_views(tracker, [f"{n:032x}" for n in range(10)], 10, names, Objective.LOSS)


# -- stores that cannot be used ----------------------------------------------------------------


def sentence(caught: pytest.ExceptionInfo[LockstepError]) -> str:
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 700
    return message


def test_a_deleted_experiment(spec: StudySpec, tracker: Tracker, store: Settings) -> None:
    tracker.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(LockstepError) as caught:
        open_tracker(spec, store, {})
    assert f"experiment {spec.name} was deleted" in sentence(caught)
    assert f"mlflow experiments restore -x {tracker.experiment_id}" in sentence(caught)
    with pytest.raises(LockstepError) as caught:
        load_tracker(spec, store, "lockstep compare")
    sentence(caught)
    tracker.client.restore_experiment(tracker.experiment_id)
    assert open_tracker(spec, store, {}).parent_run_id == tracker.parent_run_id


def test_reading_a_study_that_was_never_launched(
    spec: StudySpec, tracker: Tracker, store: Settings, make_spec: MakeSpec, tmp_path: Path
) -> None:
    assert load_tracker(spec, store, "here").parent_run_id == tracker.parent_run_id
    with pytest.raises(LockstepError) as caught:
        load_tracker(make_spec(('"small"', '"another"')), store, "here")
    assert "no runs of another" in sentence(caught)
    home = tmp_path / "empty"
    with pytest.raises(LockstepError) as caught:
        load_tracker(spec, Settings(home=home), "here")
    assert "--tracking-uri" in sentence(caught)
    assert not home.exists(), "looking creates nothing"


def test_reading_leaves_the_parent_run_as_it_is(
    spec: StudySpec, tracker: Tracker, store: Settings, splits: Splits
) -> None:
    tracker.finish("done", [], {})
    load_tracker(spec, store, "lockstep compare")
    assert runs(tracker, "study")[0].info.status == "FINISHED"


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
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    spec = make_spec()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    settings = Settings(home=tmp_path / "runs", tracking_uri=uri)
    started = time.monotonic()
    for use in (
        lambda: open_tracker(spec, settings, {}),
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
        open_tracker(spec, Settings(home=home), {})
    assert "mlflow.db" in sentence(caught)


def test_a_trial_of_mlflow_and_of_optuna_has_one_name(make_result: MakeResult) -> None:
    trial = PlannedTrial(17, Hyperparameters(0.00562341, 1e-6, 200))
    name = run_name(trial, make_result(trial.hyperparameters))
    assert name == "#17 lr 0.00562 wd 1e-06 B 200"
