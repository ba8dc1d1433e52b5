"""Log the weight images of the best trials, and store presets of the UI's pages for links."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.trainer.result import Curves
from search.figures.colours import Reals
from search.figures.weight_pictures import Kind, WeightPictures
from search.tracking import links, view_format
from search.tracking.names import (
    COLOUR_TAG,
    FRESH_METRICS,
    IMAGES_KIND_TAG,
    IMAGES_TAG,
    RANK_TAG,
    RANKED_METRIC,
    SPREAD_METRICS,
    SUMMARY_METRICS,
)
from search.tracking.results import runs_by_id
from search.tracking.tracker import Tracker
from search.tracking.view_parts import ImageGrid, Metrics
from search.trials.finished_trial import FinishedTrial

_NAMES = {  # as the UI's Views menu shows them
    links.BEST_VIEW: "Best trials",
    links.SEARCH_VIEW: "Coordinates",
    links.SIDE_VIEW: "Side by side",
    links.TABLE_VIEW: "Run table",
}


def log_weight_images(
    tracker: Tracker,
    best: Sequence[FinishedTrial],
    pictures: Mapping[str, WeightPictures],
    weights: Sequence[Reals],
) -> None:
    """Log ranks and colours of the best trials and, unless they are already there, weight images.

    The images have the form that the UI's chart view shows as a grid.

    best: the trials, best first. pictures: those that fit each set of features, by its name.
    weights: those of each trial, (D, C).
    """
    runs = runs_by_id(tracker, [trial.run_id for trial in best])
    grids = {
        name: its.grid(
            [W for trial, W in zip(best, weights, strict=True) if _features(trial) == name]
        )
        for name, its in pictures.items()
    }
    rows = {name: iter(grid.images) for name, grid in grids.items()}
    for rank, trial in enumerate(best, start=1):
        its, grid = pictures[_features(trial)], grids[_features(trial)]
        images = next(rows[_features(trial)])
        colour = view_format.COLOURS[(rank - 1) % len(view_format.COLOURS)]
        tags = {RANK_TAG: f"{rank:02d}", COLOUR_TAG: colour}
        logged = runs[trial.run_id].data.tags if trial.run_id in runs else {}
        kind = logged.get(IMAGES_KIND_TAG, Kind.IMAGE)  # The first versions knew no other kind.
        if IMAGES_TAG not in logged or kind != its.kind:
            for name, image in zip(grid.names, images, strict=True):
                tracker.client.log_image(
                    trial.run_id, image, key=image_key(name), step=0, synchronous=True
                )
            tags |= {IMAGES_TAG: repr(grid.scale), IMAGES_KIND_TAG: its.kind.value}
        tracker.log_values(trial.run_id, metrics={}, tags=tags)


def _features(trial: FinishedTrial) -> str:
    """Return the name of the set of features that a trial was trained on."""
    return trial.hyperparameters.features


def share_table(tracker: Tracker) -> None:
    """Store the preset of the run table, which needs no results."""
    spec = tracker.spec
    view = view_format.table_view(
        tracker.parent_run_id, spec.search.objective, features=spec.data.several
    )
    _share(tracker, links.TABLE_VIEW, view)


def share_views(
    tracker: Tracker, run_ids: Sequence[str], completed: int, pictures: WeightPictures
) -> None:
    """Store the presets of the UI's chart view, to which the links of `links.py` lead.

    run_ids: the runs of the best trials, best first.
    completed: the number of completed trials.
    pictures: those that are drawn of the weights of the best trial.
    """
    metrics = Metrics(
        tracker.spec.search.objective,
        [*Curves.known(), *SUMMARY_METRICS, *SPREAD_METRICS, *FRESH_METRICS, RANKED_METRIC],
    )
    several = tracker.spec.data.several
    keys = [image_key(name) for name in pictures.grid_names]
    images = ImageGrid(pictures.title, keys)
    best = view_format.best_view(run_ids, images, metrics, features=several)
    _share(tracker, links.BEST_VIEW, best)
    if len(run_ids) >= view_format.COMPARED:
        side = view_format.side_view(run_ids, images, metrics)
        _share(tracker, links.SIDE_VIEW, side)
    search = view_format.search_view(
        tracker.parent_run_id, completed, keys, metrics, features=several
    )
    _share(tracker, links.SEARCH_VIEW, search)


def view_urls(tracker: Tracker, address: str) -> dict[str, str]:
    """Return the link to each preset of the chart view that the study has, by the preset's key.

    A study has no presets before its first launch has ended, or if every trial diverged; a link to
    a missing preset would open an error. address: the URL of the UI.
    """
    tags = tracker.client.get_experiment(tracker.experiment_id).tags
    return {
        key: links.charts_url(address, tracker.experiment_id, key)
        for key in (links.BEST_VIEW, links.SEARCH_VIEW, links.SIDE_VIEW)
        if f"{view_format.TAG_PREFIX}{key}" in tags
    }


def _share(tracker: Tracker, key: str, view: dict[str, Any]) -> None:
    """Store a preset in an experiment tag, unless it is too long for one."""
    value = view_format.tag_value(view, _NAMES[key])
    if len(value) <= view_format.MAX_TAG:
        tag = f"{view_format.TAG_PREFIX}{key}"
        tracker.client.set_experiment_tag(tracker.experiment_id, tag, value)


def image_key(class_name: str) -> str:
    """Return the key of a class's weight image.

    A class name may contain characters that a path must not. Such names are shortened, and a digest
    keeps them distinct.
    """
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,39}", class_name):
        return f"weights/{class_name}"
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", class_name)[:40]
    return f"weights/{safe}-{hashlib.sha256(class_name.encode()).hexdigest()[:8]}"
