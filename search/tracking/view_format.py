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
LOADED_RUNS = 100  # that the UI loads at first, and hence draws
_ROW_PIXELS = 146  # of the image grid; more where few runs leave wider columns
_WIDE_PIXELS = 1300  # of all its columns, in a wide window
_SECTION_PIXELS = 310  # its headings: runs with all their hyperparameters

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
    listed = ", ".join(f"'{run_id}'" for run_id in run_ids)
    # The image grid's columns run against the list's order: the list is worst first, and hidden.
    # Ranks know how ties were broken.
    view = _view(f"attributes.run_id IN ({listed})", f"tags.`{RANK_TAG}`", ascending=False)
    sections = [
        _section(
            "weights",
            "Weight templates, best first",
            1,
            _grid_pixels(len(image_keys), len(run_ids)),
        ),
        _section("search", "Hyperparameters of these runs", 1, 420),
        _section("curves", "Validation curves", 2, 360),
    ]
    charts = [
        _card("IMAGE", "grid", "weights", imageKeys=list(image_keys), step=0, showRunParams=True),
        _parallel(objective),
        *_lines(),
        *_suppressed(objective, other_metrics),
    ]
    if len(image_keys) > 1:
        charts += _no_images(image_keys, "weights")
    return view | {
        "compareRunSections": sections,
        "compareRunCharts": charts,
        "runListHidden": True,
    }


def search_view(
    parent_run_id: str,
    completed: int,
    image_keys: Sequence[str],
    objective: Objective,
    other_metrics: Sequence[str],
) -> dict[str, Any]:
    """Parallel coordinates over the completed trials that the UI loads; curves of the best."""
    drawn = f"the best {LOADED_RUNS} of {completed:,}" if completed > LOADED_RUNS else "all"
    condition = f"tags.`{PARENT_TAG}` = '{parent_run_id}' AND attributes.status = 'FINISHED'"
    view = _view(condition, f"metrics.`{objective.value}`", ascending=objective.is_loss)
    sections = [
        _section("search", f"Hyperparameters of {drawn} completed trials", 1, 420),
        _section("curves", "Validation curves of the best ten", 2, 360),
    ]
    charts = [
        _parallel(objective),
        *_lines(),
        *_suppressed(objective, other_metrics),
        *_no_images(image_keys, "curves"),
    ]
    return view | {
        "compareRunSections": sections,
        "compareRunCharts": charts,
        "runListHidden": False,
    }


def table_view(parent_run_id: str, objective: Objective) -> dict[str, Any]:
    """The table of all trials, the ranked ones first, best first, with what one compares."""
    condition = f"tags.`{PARENT_TAG}` = '{parent_run_id}' AND tags.`{ROLE_TAG}` = 'trial'"
    order = f"metrics.`{RANKED_METRIC}`"
    columns = [
        *(f"metrics.`{metric}`" for metric in CURVES),
        *(f"params.`{name}`" for name in ("learning_rate", "weight_decay", "batch_size")),
        f"tags.`{STATUS_TAG}`",
    ]
    return _view(condition, order, ascending=objective.is_loss) | {
        "selectedColumns": columns,
        "runListHidden": False,
    }


def tag_value(view: dict[str, Any], name: str) -> str:
    """The tag's text: compressed, as tags are short; named, so that the Views menu lists it."""
    packed = base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
    now = int(time.time() * 1000)
    return json.dumps(
        {"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    )


def _grid_pixels(n_rows: int, n_runs: int) -> int:
    return _SECTION_PIXELS + max(_ROW_PIXELS, _WIDE_PIXELS // (n_runs + 2)) * n_rows


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
