"""Presets of the MLflow UI's chart view and run table, which are kept in experiment tags and opened
by links.

The tag's format is internal to MLflow, whose own "Share" button writes it; this file follows MLflow
3.17. A later MLflow ignores a preset that it does not understand, and the link then opens the plain
chart view.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Sequence
from typing import Any

from search.spec.objective import Objective
from search.tracking.names import PARENT_TAG, RANK_TAG, RANKED_METRIC, ROLE_TAG, STATUS_TAG
from search.tracking.view_parts import (
    HEADING_PIXELS,
    PARAMETER_PIXELS,
    ImageGrid,
    Metrics,
    curve_charts,
    image_grid,
    listed,
    parallel_coordinates,
    section,
    weights_section,
    without_images,
    without_metrics,
)

TAG_PREFIX = "mlflow.sharedViewState."
# The colours of the runs in the image grid, best first: six by Okabe and Ito, and four more.
COLOURS = (
    "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#5B3A8E", "#7F7F7F",
    "#8C3B2E", "#9DB600",
)  # fmt: skip
MAX_TAG = 20_000  # characters that an experiment tag may have
MAX_IMAGE_RUNS = 10  # the most columns that the image grid shows
# The number of runs side by side. Two fit without scrolling and with their whole names, even if
# MLflow's Assistant leaves them only two thirds of a window that is 1280 pixels wide.
COMPARED = 2
LOADED_RUNS = 100  # the runs that the UI loads at first; it draws no others

_COLUMNS = {  # the run table's columns after name and date, in pixels; they fit into 1280
    "metrics.`val_loss`": 100,
    "metrics.`val_accuracy`": 105,
    "params.`learning_rate`": 110,
    "params.`weight_decay`": 110,
    "params.`batch_size`": 90,
    f"tags.`{STATUS_TAG}`": 95,
}

# With several sets of features; the other columns are narrower, so that all fit.
_WITH_FEATURES = {
    "metrics.`val_loss`": 85,
    "metrics.`val_accuracy`": 90,
    "params.`features`": 100,
    "params.`learning_rate`": 90,
    "params.`weight_decay`": 85,
    "params.`batch_size`": 70,
    f"tags.`{STATUS_TAG}`": 90,
}


def best_view(
    run_ids: Sequence[str],
    images: ImageGrid,
    metrics: Metrics,
    *,
    features: bool = False,
) -> dict[str, Any]:
    """Return the preset of the best runs: their image grid, hyperparameters and curves.

    run_ids: the runs, best first, which are the columns of the image grid.
    features: whether the study has several sets of features.
    """
    sections = [
        weights_section(
            f"{images.title}, best first",
            images.keys,
            run_ids,
            HEADING_PIXELS + PARAMETER_PIXELS,
        ),
        section("search", "Hyperparameters of these runs", 1, 420),
        section("curves", "Validation curves", 2, 360),
    ]
    charts = [
        # Under the names of single images, parameters would stretch these.
        *image_grid(images.keys, show_params=len(images.keys) > 1),
        parallel_coordinates(metrics.objective, features=features),
        *curve_charts(),
        *without_metrics(metrics),
    ]
    return _view_of(run_ids) | _charts(sections, charts)


def side_view(run_ids: Sequence[str], images: ImageGrid, metrics: Metrics) -> dict[str, Any]:
    """Return the preset of the first `COMPARED` of these runs: their image grid and curves.

    It replaces MLflow's page that compares runs, which gives its list of artifacts no width in a
    window narrower than about 1500 pixels. The arguments are those of `best_view`.
    """
    compared = run_ids[:COMPARED]
    sections = [
        weights_section(f"{images.title} side by side", images.keys, compared, HEADING_PIXELS),
        section("curves", "Validation curves", 2, 360),
    ]
    charts = [
        *image_grid(images.keys, show_params=False),  # they are in the runs' names
        *curve_charts(),
        *without_metrics(metrics),
    ]
    return _view_of(compared) | _charts(sections, charts)


def search_view(
    parent_run_id: str,
    completed: int,
    image_keys: Sequence[str],
    metrics: Metrics,
    *,
    features: bool = False,
) -> dict[str, Any]:
    """Return the preset of the whole search: parallel coordinates over the completed trials that
    the UI loads, and curves of the ten best.

    features: whether the study has several sets of features.
    """
    many = completed > LOADED_RUNS
    condition = f"tags.`{PARENT_TAG}` = '{parent_run_id}' AND attributes.status = 'FINISHED'"
    objective = metrics.objective
    view = listed(condition, f"metrics.`{objective.value}`", ascending=objective.is_loss)
    sections = [
        section(
            "search",
            f"Best {LOADED_RUNS} of {completed:,} trials" if many else "All completed trials",
            1,
            420,
        ),
        section("curves", "Curves of the ten best", 2, 360),
    ]
    charts = [
        parallel_coordinates(metrics.objective, features=features),
        *curve_charts(),
        *without_metrics(metrics),
        *without_images(image_keys, "curves"),
    ]
    return view | _charts(sections, charts)


def table_view(
    parent_run_id: str, objective: Objective, *, features: bool = False
) -> dict[str, Any]:
    """Return the preset of the table of all trials, best first; trials without a rank follow.

    features: whether there is a column of the set of features.
    """
    columns = _WITH_FEATURES if features else _COLUMNS
    condition = f"tags.`{PARENT_TAG}` = '{parent_run_id}' AND tags.`{ROLE_TAG}` = 'trial'"
    order = f"metrics.`{RANKED_METRIC}`"
    return listed(condition, order, ascending=objective.is_loss) | {
        "selectedColumns": list(columns),
        "columnOrder": [*columns, "duration"],  # MLflow always shows it, first by default
        "columnWidths": dict(columns),
        "runListHidden": False,
    }


def tag_value(view: dict[str, Any], name: str) -> str:
    """Return the text of the tag that holds a preset.

    It is compressed, because tags are short, and has a name for the UI's Views menu.
    """
    packed = base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
    now = int(time.time() * 1000)
    return json.dumps(
        {"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    )


def _view_of(run_ids: Sequence[str]) -> dict[str, Any]:
    """Return a preset that shows only these runs; run_ids: best first."""
    ids = ", ".join(f"'{run_id}'" for run_id in run_ids)
    # The image grid's columns have the reverse order of the list, so the list is worst first.
    # It is sorted by rank, because ranks also say how ties were broken.
    return listed(f"attributes.run_id IN ({ids})", f"tags.`{RANK_TAG}`", ascending=False)


def _charts(sections: list[dict[str, Any]], charts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the part of a preset that holds its sections and charts, with the list of runs hidden.

    Beside an open list, the names of the axes would be cut off. Headings of more than about 30
    letters are cut off in any case.
    """
    return {"compareRunSections": sections, "compareRunCharts": charts, "runListHidden": True}
