"""The parts of a preset of the MLflow UI: which runs it lists, its sections and its charts.

MLflow adds a chart for every metric and image key that has no card, so unwanted charts are listed
as deleted cards. See `view_format.py` for the presets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from search.spec.objective import Objective

PARALLEL_PARAMETERS = ("log10_learning_rate", "log10_weight_decay", "batch_size")
CURVES = ("val_loss", "val_accuracy")
_ROW_PIXELS = 146  # the least height of a row of the image grid
_WIDE_PIXELS = 1300  # the width of all its columns together, in a wide window
_TILE_PIXELS, _TILES = 300, 4  # the height of single images, and how many stand in a row
HEADING_PIXELS = 185  # the height of its headings, with the runs' names
PARAMETER_PIXELS = 165  # the additional height of all their hyperparameters


@dataclass(frozen=True, slots=True)
class ImageGrid:
    """The image grid of a preset, which has a column for each run.

    title: what it shows, in up to 16 letters.
    keys: those of its images, which are its rows.
    """

    title: str
    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of the runs.

    objective: the one by which they are ranked.
    others: all others, so that MLflow draws no chart of them.
    """

    objective: Objective
    others: Sequence[str]


def listed(condition: str, order: str, *, ascending: bool) -> dict[str, Any]:
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


def section(uuid: str, name: str, columns: int, height: int) -> dict[str, Any]:
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


def weights_section(
    name: str, image_keys: Sequence[str], run_ids: Sequence[str], headings: int
) -> dict[str, Any]:
    """Return the section of the image grid; headings: their height in pixels."""
    row = max(_ROW_PIXELS, _WIDE_PIXELS // (len(run_ids) + 2))
    height = headings + row * len(image_keys)
    if len(image_keys) == 1:  # MLflow then shows no grid, but each run's image under its name
        height = HEADING_PIXELS + _TILE_PIXELS * ceil(len(run_ids) / _TILES)
    return section("weights", name, 1, height)


def parallel_coordinates(objective: Objective, *, features: bool) -> dict[str, Any]:
    """Return the chart of parallel coordinates.

    The objective is its last axis, because the last axis gives the lines their colour. features:
    whether the set of features is the first one.
    """
    return card(
        "PARALLEL",
        "parallel",
        "search",
        selectedParams=[*["features"] * features, *PARALLEL_PARAMETERS],
        selectedMetrics=[objective.value],
        showAllRuns=True,
    )


def curve_charts() -> list[dict[str, Any]]:
    """Return the line charts of the curves."""
    return [
        card(
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


def image_grid(image_keys: Sequence[str], *, show_params: bool) -> list[dict[str, Any]]:
    """Return the image grid, and deleted cards that prevent other charts of its images."""
    grid = card(
        "IMAGE", "grid", "weights", imageKeys=list(image_keys), step=0, showRunParams=show_params
    )
    return [grid, *(without_images(image_keys, "weights") if len(image_keys) > 1 else [])]


def without_metrics(metrics: Metrics) -> list[dict[str, Any]]:
    """Return deleted cards that prevent a chart of every other metric."""
    return [
        {**card("BAR", f"no-{metric}", "curves", metricKey=metric), "deleted": True}
        for metric in dict.fromkeys([metrics.objective.value, *metrics.others])
        if metric not in CURVES
    ]


def without_images(image_keys: Sequence[str], section: str) -> list[dict[str, Any]]:
    """Return deleted cards that prevent a chart of each image."""
    return [
        {**card("IMAGE", f"no-{key}", section, imageKeys=[key], step=0), "deleted": True}
        for key in image_keys
    ]


def card(kind: str, uuid: str, section: str, **options: Any) -> dict[str, Any]:
    """Return a chart of the chart view."""
    return {
        "type": kind,
        "uuid": uuid,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        **options,
    }
