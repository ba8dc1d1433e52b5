"""A preset of the MLflow UI's chart view, kept in an experiment tag and opened by a link.

The tag's format is internal to MLflow (the UI's own "Share" writes it); this follows 3.17. What a
card needs in order to be drawn as meant, and MLflow's habit of adding a chart for every metric and
image key that has no card of its own, decide the details below. A preset that a later MLflow does
not understand is ignored by it: the link then opens the plain chart view.
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

TAG_PREFIX = "mlflow.sharedViewState."
# Of the runs in the image grid, best first: Okabe and Ito's, and two more.
COLOURS = (
    "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#5B3A8E", "#7F7F7F",
    "#8C3B2E", "#9DB600",
)  # fmt: skip
MAX_TAG = 20_000  # characters of an experiment tag
MAX_IMAGE_RUNS = 10  # columns that the image grid shows at most
# Runs side by side. The image grid of two needs no scrolling to the right, and shows their whole
# names, even where MLflow's Assistant leaves it two thirds of a window 1280 pixels wide.
COMPARED = 2
LOADED_RUNS = 100  # that the UI loads at first, and hence draws
_ROW_PIXELS = 146  # of the image grid; more where few runs leave wider columns
_WIDE_PIXELS = 1300  # of all its columns, in a wide window
_HEADING_PIXELS = 185  # its headings, with the runs' names
_PARAMETER_PIXELS = 165  # more for all their hyperparameters

_COLUMNS = {  # of the run table, after the run's name and date: pixels; they fit into 1280
    "metrics.`val_loss`": 100,
    "metrics.`val_accuracy`": 105,
    "params.`learning_rate`": 110,
    "params.`weight_decay`": 110,
    "params.`batch_size`": 90,
    f"tags.`{STATUS_TAG}`": 95,
}

PARALLEL_PARAMETERS = ("log10_learning_rate", "log10_weight_decay", "batch_size")
CURVES = ("val_loss", "val_accuracy")


def best_view(
    run_ids: Sequence[str],
    image_keys: Sequence[str],
    objective: Objective,
    other_metrics: Sequence[str],
) -> dict[str, Any]:
    """Image grid of these runs (best first, classes as rows), their hyperparameters and curves.

    other_metrics: every other metric that the runs have, so that none gets a chart.
    """
    sections = [
        _weights_section(
            "Weight templates, best first",
            image_keys,
            run_ids,
            _HEADING_PIXELS + _PARAMETER_PIXELS,
        ),
        _section("search", "Hyperparameters of these runs", 1, 420),
        _section("curves", "Validation curves", 2, 360),
    ]
    charts = [
        *_images(image_keys, show_params=True),
        _parallel(objective),
        *_lines(),
        *_suppressed(objective, other_metrics),
    ]
    return _view_of(run_ids) | _charts(sections, charts)


def side_view(
    run_ids: Sequence[str],
    image_keys: Sequence[str],
    objective: Objective,
    other_metrics: Sequence[str],
) -> dict[str, Any]:
    """Return the image grid of the first `COMPARED` of these runs, and their curves.

    It stands in for MLflow's page that compares runs: in a window of less than some 1500 pixels,
    that page gives its list of artifacts no width. The arguments are those of `best_view`.
    """
    compared = run_ids[:COMPARED]
    sections = [
        _weights_section("Weight templates side by side", image_keys, compared, _HEADING_PIXELS),
        _section("curves", "Validation curves", 2, 360),
    ]
    charts = [
        *_images(image_keys, show_params=False),  # the runs' names say what was searched
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
) -> dict[str, Any]:
    """Parallel coordinates over the completed trials that the UI loads; curves of the best."""
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
        _parallel(objective),
        *_lines(),
        *_suppressed(objective, other_metrics),
        *_no_images(image_keys, "curves"),
    ]
    return view | _charts(sections, charts)


def table_view(parent_run_id: str, objective: Objective) -> dict[str, Any]:
    """The table of all trials, the ranked ones first, best first, with what one compares."""
    condition = f"tags.`{PARENT_TAG}` = '{parent_run_id}' AND tags.`{ROLE_TAG}` = 'trial'"
    order = f"metrics.`{RANKED_METRIC}`"
    return _view(condition, order, ascending=objective.is_loss) | {
        "selectedColumns": list(_COLUMNS),
        "columnOrder": [*_COLUMNS, "duration"],  # MLflow shows it in any case, and first
        "columnWidths": dict(_COLUMNS),
        "runListHidden": False,
    }


def tag_value(view: dict[str, Any], name: str) -> str:
    """The tag's text: compressed, as tags are short; named, so that the Views menu lists it."""
    packed = base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
    now = int(time.time() * 1000)
    return json.dumps(
        {"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    )


def _view_of(run_ids: Sequence[str]) -> dict[str, Any]:
    """Of these runs (best first) alone."""
    listed = ", ".join(f"'{run_id}'" for run_id in run_ids)
    # The image grid's columns run against the list's order: the list is worst first, and hidden.
    # Ranks know how ties were broken.
    return _view(f"attributes.run_id IN ({listed})", f"tags.`{RANK_TAG}`", ascending=False)


def _charts(sections: list[dict[str, Any]], charts: list[dict[str, Any]]) -> dict[str, Any]:
    """With the list of runs hidden, which opens on a click: beside it, the names of the axes would
    be cut short. So are, in any case, headings of more than some 30 letters."""
    return {"compareRunSections": sections, "compareRunCharts": charts, "runListHidden": True}


def _weights_section(
    name: str, image_keys: Sequence[str], run_ids: Sequence[str], headings: int
) -> dict[str, Any]:
    """Of the image grid; headings: their height in pixels."""
    row = max(_ROW_PIXELS, _WIDE_PIXELS // (len(run_ids) + 2))
    return _section("weights", name, 1, headings + row * len(image_keys))


def _view(condition: str, order: str, *, ascending: bool) -> dict[str, Any]:
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
    return {
        "type": kind,
        "uuid": uuid,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        **options,
    }


def _parallel(objective: Objective) -> dict[str, Any]:
    """The last axis gives the lines their colour, so the objective goes last."""
    return _card(
        "PARALLEL",
        "parallel",
        "search",
        selectedParams=list(PARALLEL_PARAMETERS),
        selectedMetrics=[objective.value],
        showAllRuns=True,
    )


def _lines() -> list[dict[str, Any]]:
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
    """The image grid, and no other chart of its images."""
    grid = _card(
        "IMAGE", "grid", "weights", imageKeys=list(image_keys), step=0, showRunParams=show_params
    )
    return [grid, *(_no_images(image_keys, "weights") if len(image_keys) > 1 else [])]


def _suppressed(objective: Objective, other_metrics: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {**_card("BAR", f"no-{metric}", "curves", metricKey=metric), "deleted": True}
        for metric in dict.fromkeys([objective.value, *other_metrics])
        if metric not in CURVES
    ]


def _no_images(image_keys: Sequence[str], section: str) -> list[dict[str, Any]]:
    return [
        {**_card("IMAGE", f"no-{key}", section, imageKeys=[key], step=0), "deleted": True}
        for key in image_keys
    ]
