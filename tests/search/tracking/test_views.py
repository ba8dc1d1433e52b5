"""Images of weights, and the presets that show them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import make_result, make_splits
from small_study import small_spec
from stored import preset, preset_runs
from tracked import log_trial, opened, planned

from core.datasets.study_data import ONLY, StudyData
from core.trainer.result import Status
from search.figures.image_weights import ImageWeights
from search.figures.picture_choice import weight_pictures
from search.figures.similarity import SimilarityWeights
from search.figures.weight_pictures import WeightPictures
from search.figures.weights_table import TableWeights
from search.settings import Settings
from search.spec.objective import Objective
from search.spec.study_spec import StudySpec
from search.tracking.links import BEST_VIEW, SEARCH_VIEW, SIDE_VIEW, TABLE_VIEW, charts_url
from search.tracking.tracker import (
    Tracker,
)
from search.tracking.view_format import COMPARED
from search.tracking.views import (
    image_key,
    log_weight_images,
    share_table,
    share_views,
    view_urls,
)
from search.trials.finished_trial import FinishedTrial
from search.trials.outcome import Outcome

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
    names: tuple[str, ...],
) -> None:
    """The preset names each class's images by a key: it must be the class's own."""
    splits = StudyData({"": make_splits(names)})
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, n_classes=len(names))
    run_id = log_trial(tracker, trial, Outcome(result), splits)
    finished = FinishedTrial.of(0, result, run_id)
    log_weight_images(tracker, [finished], {ONLY: weight_pictures(splits.train)}, [result.weights])
    assert len(image_keys(tracker, run_id)) == len(names)


def image_keys(tracker: Tracker, run_id: str) -> set[str]:
    """Keys of the logged images, from their file names, as the UI takes them."""
    paths = [file.path for file in tracker.client.list_artifacts(run_id, "images")]
    pictures = [path for path in paths if path.endswith(".png")]
    return {re.split(r"[%+]step", path)[0].removeprefix("images/") for path in pictures}


def test_weight_images_are_logged_once(spec: StudySpec, tracker: Tracker) -> None:
    splits = StudyData({"": make_splits(ODD_NAMES)})
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, n_classes=len(ODD_NAMES))
    run_id = log_trial(tracker, trial, Outcome(result), splits)
    finished = FinishedTrial.of(0, result, run_id)
    log_weight_images(tracker, [finished], {ONLY: weight_pictures(splits.train)}, [result.weights])
    files = [file.path for file in tracker.client.list_artifacts(run_id, "images")]
    assert len(image_keys(tracker, run_id)) == len(ODD_NAMES)
    for again in (tracker, opened(spec, store_of(tracker), {0: run_id})):
        log_weight_images(
            again, [finished], {ONLY: weight_pictures(splits.train)}, [2 * result.weights]
        )
        assert [file.path for file in again.client.list_artifacts(run_id, "images")] == files
    assert tracker.client.get_run(run_id).info.status == "FINISHED"


def pictures_of(*class_names: str) -> WeightPictures:
    return ImageWeights(class_names, (2, 3), np.ones(len(class_names), int))


def store_of(tracker: Tracker) -> Settings:
    return Settings(home=Path(tracker.uri.removeprefix("sqlite:///")).parent)


def shared_view(tracker: Tracker, key: str) -> dict[str, Any]:
    return preset(tracker.client, tracker.experiment_id, key)


@pytest.mark.parametrize("objective", list(Objective))
def test_presets_of_the_chart_view(settings: Settings, objective: Objective) -> None:
    tracker = opened(small_spec(objective=objective.value), settings)
    run_ids = [f"{n:032x}" for n in range(10)]
    for _ in range(2):
        share_views(tracker, run_ids, 700, pictures_of("T-shirt/top", "6"))
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
    spec: StudySpec, tracker: Tracker, splits: StudyData
) -> None:
    """MLflow's own search takes them."""
    run_ids = []
    for number, status in enumerate((Status.COMPLETED, Status.DIVERGED, Status.COMPLETED)):
        trial = planned(spec, number)
        result = make_result(trial.hyperparameters, status)
        run_ids.append(log_trial(tracker, trial, Outcome(result), splits))
    best = [run_ids[2], run_ids[0]]
    share_views(tracker, best, len(best), weight_pictures(splits.train))
    share_table(tracker)
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
    share_table(tracker)
    assert view_urls(tracker, "http://x") == {}, "a launch has not ended yet"
    run_ids = [f"{n:032x}" for n in range(COMPARED)]
    share_views(tracker, run_ids[:1], 1, pictures_of("3", "6"))
    assert set(view_urls(tracker, "http://x")) == {BEST_VIEW, SEARCH_VIEW}, "nothing to compare"
    share_views(tracker, run_ids, 2, pictures_of("3", "6"))
    urls = view_urls(tracker, "http://x")
    assert set(urls) == {BEST_VIEW, SEARCH_VIEW, SIDE_VIEW}
    assert urls[SIDE_VIEW] == charts_url("http://x", tracker.experiment_id, SIDE_VIEW)


def test_presets_of_very_many_classes(tracker: Tracker) -> None:
    """They show some, and fit into a tag."""
    rng = np.random.default_rng(0)
    names = [bytes(rng.integers(97, 123, 30, dtype=np.uint8)).decode() for _ in range(1000)]
    share_views(tracker, [f"{n:032x}" for n in range(10)], 10, pictures_of(*names))
    shown = image_cards(shared_view(tracker, BEST_VIEW))
    assert [card["imageKeys"] for card in shown] == [[image_key(name) for name in names[:12]]]


@pytest.mark.parametrize(
    ("pictures", "title", "keys"),
    [
        (TableWeights("ab", "xyz", np.ones(2, int)), "Feature weights", ["weights/a", "weights/b"]),
        (SimilarityWeights("abc", 64), "Class similarity", ["weights/similarity"]),
    ],
)
def test_presets_of_what_is_not_an_image(
    tracker: Tracker, pictures: WeightPictures, title: str, keys: list[str]
) -> None:
    run_ids = [f"{n:032x}" for n in range(3)]
    share_views(tracker, run_ids, 3, pictures)
    for key, heading in ((BEST_VIEW, "{}, best first"), (SIDE_VIEW, "{} side by side")):
        view = shared_view(tracker, key)
        assert view["compareRunSections"][0]["name"] == heading.format(title)
        assert [card["imageKeys"] for card in image_cards(view)] == [keys]


def image_cards(view: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        card for card in view["compareRunCharts"] if card["type"] == "IMAGE" and not card["deleted"]
    ]


def test_images_of_another_kind_are_logged_anew(spec: StudySpec, tracker: Tracker) -> None:
    """A study of an earlier version may have templates of what is not an image."""
    splits = StudyData({"": make_splits(("a", "b", "c"))})
    trial = planned(spec, 0)
    result = make_result(trial.hyperparameters, n_classes=3)
    run_id = log_trial(tracker, trial, Outcome(result), splits)
    finished = FinishedTrial.of(0, result, run_id)
    log_weight_images(tracker, [finished], {ONLY: weight_pictures(splits.train)}, [result.weights])
    others = SimilarityWeights(splits.train.class_names, 6)
    for _ in range(2):
        log_weight_images(tracker, [finished], {ONLY: others}, [result.weights])
        assert len(image_keys(tracker, run_id)) == 3 + 1
