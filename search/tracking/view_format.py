"""Presets of the MLflow UI's chart view and run table, which are kept in experiment tags and opened
by links.

The tag's format is internal to MLflow, whose own "Share" button writes it; this file follows MLflow
3.17. MLflow adds a chart for every metric and image key that has no card, so unwanted charts are
listed here as deleted cards. A later MLflow ignores a preset that it does not understand, and the
link then opens the plain chart view.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from search.spec.objective import Objective
from search.tracking.names import PARENT_TAG, RANK_TAG, RANKED_METRIC, ROLE_TAG, STATUS_TAG

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
_ROW_PIXELS = 146  # the least height of a row of the image grid
_WIDE_PIXELS = 1300  # the width of all its columns together, in a wide window
_TILE_PIXELS, _TILES = 300, 4  # the height of single images, and how many stand in a row
_HEADING_PIXELS = 185  # the height of its headings, with the runs' names
_PARAMETER_PIXELS = 165  # the additional height of all their hyperparameters

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
PARALLEL_PARAMETERS = ("log10_learning_rate", "log10_weight_decay", "batch_size")
CURVES = ("val_loss", "val_accuracy")


@dataclass(frozen=True, slots=True)
class ImageGrid:
    """The image grid of a preset, which has a column for each run.

    title: what it shows, in up to 16 letters.
    keys: those of its images, which are its rows.
    """

    title: str
    keys: Sequence[str]


def best_view(
    run_ids: Sequence[str],
    images: ImageGrid,
    objective: Objective,
    other_metrics: Sequence[str],
    *,
    features: bool = False,
) -> dict[str, Any]:
    """Return the preset of the best runs: their image grid, hyperparameters and curves.

    run_ids: the runs, best first, which are the columns of the image grid.
    images: the image grid.
    other_metrics: every other metric of the runs, so that MLflow draws no chart of it.
    features: whether the study has several sets of features.
    """
    sections = [
        _weights_section(
            f"{images.title}, best first",
            images.keys,
            run_ids,
            _HEADING_PIXELS + _PARAMETER_PIXELS,
        ),
        _section("search", "Hyperparameters of these runs", 1, 420),
        _section("curves", "Validation curves", 2, 360),
    ]
    charts = [
        # Under the names of single images, parameters would stretch these.
        *_images(images.keys, show_params=len(images.keys) > 1),
        _parallel(objective, features=features),
        *_lines(),
        *_suppressed(objective, other_metrics),
    ]
    return _view_of(run_ids) | _charts(sections, charts)


def side_view(
    run_ids: Sequence[str],
    images: ImageGrid,
    objective: Objective,
    other_metrics: Sequence[str],
) -> dict[str, Any]:
    """Return the preset of the first `COMPARED` of these runs: their image grid and curves.

    It replaces MLflow's page that compares runs, which gives its list of artifacts no width in a
    window narrower than about 1500 pixels. The arguments are those of `best_view`.
    """
    compared = run_ids[:COMPARED]
    sections = [
        _weights_section(f"{images.title} side by side", images.keys, compared, _HEADING_PIXELS),
        _section("curves", "Validation curves", 2, 360),
    ]
    charts = [
        *_images(images.keys, show_params=False),  # they are in the runs' names
        *_lines(),
        *_suppressed(objective, other_metrics),
    ]
    return _view_of(compared) | _charts(sections, charts)


def search_view(
    parent_run_id: str,
    completed: int,
    image_keys: Sequence[str],
    objective: Objective,
    other_metrics: Sequence[str],
    *,
    features: bool = False,
) -> dict[str, Any]:
    """Return the preset of the whole search: parallel coordinates over the completed trials that
    the UI loads, and curves of the ten best.

    features: whether the study has several sets of features.
    """
    many = completed > LOADED_RUNS
    condition = f"tags.`{PARENT_TAG}` = '{parent_run_id}' AND attributes.status = 'FINISHED'"
    view = _view(condition, f"metrics.`{objective.value}`", ascending=objective.is_loss)
    sections = [
        _section(
            "search",
            f"Best {LOADED_RUNS} of {completed:,} trials" if many else "All completed trials",
            1,
            420,
        ),
        _section("curves", "Curves of the ten best", 2, 360),
    ]
    charts = [
        _parallel(objective, features=features),
        *_lines(),
        *_suppressed(objective, other_metrics),
        *_no_images(image_keys, "curves"),
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
    return _view(condition, order, ascending=objective.is_loss) | {
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
    listed = ", ".join(f"'{run_id}'" for run_id in run_ids)
    # The image grid's columns have the reverse order of the list, so the list is worst first.
    # It is sorted by rank, because ranks also say how ties were broken.
    return _view(f"attributes.run_id IN ({listed})", f"tags.`{RANK_TAG}`", ascending=False)


def _charts(sections: list[dict[str, Any]], charts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the part of a preset that holds its sections and charts, with the list of runs hidden.

    Beside an open list, the names of the axes would be cut off. Headings of more than about 30
    letters are cut off in any case.
    """
    return {"compareRunSections": sections, "compareRunCharts": charts, "runListHidden": True}


def _weights_section(
    name: str, image_keys: Sequence[str], run_ids: Sequence[str], headings: int
) -> dict[str, Any]:
    """Return the section of the image grid; headings: their height in pixels."""
    row = max(_ROW_PIXELS, _WIDE_PIXELS // (len(run_ids) + 2))
    height = headings + row * len(image_keys)
    if len(image_keys) == 1:  # MLflow then shows no grid, but each run's image under its name
        height = _HEADING_PIXELS + _TILE_PIXELS * ceil(len(run_ids) / _TILES)
    return _section("weights", name, 1, height)


def _view(condition: str, order: str, *, ascending: bool) -> dict[str, Any]:
    """Return a preset without charts: which runs it lists, in which order."""
    return {
        "searchFilter": condition,
        "orderByKey": order,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "runsHiddenMode": "FIRST_10_RUNS",
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
    }


def _section(uuid: str, name: str, columns: int, height: int) -> dict[str, Any]:
    """Return a section of the chart view."""
    return {
        "uuid": uuid,
        "name": name,
        "columns": columns,
        "cardHeight": height,
        "display": True,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }


def _card(kind: str, uuid: str, section: str, **options: Any) -> dict[str, Any]:
    """Return a chart of the chart view."""
    return {
        "type": kind,
        "uuid": uuid,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        **options,
    }


def _parallel(objective: Objective, *, features: bool) -> dict[str, Any]:
    """Return the chart of parallel coordinates.

    The objective is its last axis, because the last axis gives the lines their colour. features:
    whether the set of features is the first one.
    """
    return _card(
        "PARALLEL",
        "parallel",
        "search",
        selectedParams=[*["features"] * features, *PARALLEL_PARAMETERS],
        selectedMetrics=[objective.value],
        showAllRuns=True,
    )


def _lines() -> list[dict[str, Any]]:
    """Return the line charts of the curves."""
    return [
        _card(
            "LINE",
            f"line-{metric}",
            "curves",
            metricKey=metric,
            selectedMetricKeys=[metric],
            xAxisKey="step",
            lineSmoothness=0,
            scaleType="linear",
            xAxisScaleType="linear",
        )
        for metric in CURVES
    ]


def _images(image_keys: Sequence[str], *, show_params: bool) -> list[dict[str, Any]]:
    """Return the image grid, and deleted cards that prevent other charts of its images."""
    grid = _card(
        "IMAGE", "grid", "weights", imageKeys=list(image_keys), step=0, showRunParams=show_params
    )
    return [grid, *(_no_images(image_keys, "weights") if len(image_keys) > 1 else [])]


def _suppressed(objective: Objective, other_metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return deleted cards that prevent a chart of every other metric."""
    return [
        {**_card("BAR", f"no-{metric}", "curves", metricKey=metric), "deleted": True}
        for metric in dict.fromkeys([objective.value, *other_metrics])
        if metric not in CURVES
    ]


def _no_images(image_keys: Sequence[str], section: str) -> list[dict[str, Any]]:
    """Return deleted cards that prevent a chart of each image."""
    return [
        {**_card("IMAGE", f"no-{key}", section, imageKeys=[key], step=0), "deleted": True}
        for key in image_keys
    ]
