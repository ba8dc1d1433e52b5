"""Build links into the MLflow UI, whose pages read their state from the URL's fragment."""

from __future__ import annotations

from urllib.parse import quote

# These are the keys of a study's presets.
BEST_VIEW, SEARCH_VIEW, SIDE_VIEW, TABLE_VIEW = "best", "search", "side", "table"
_WORKFLOW = "workflowType=machine_learning"  # without it, the UI opens its GenAI pages


def run_url(address: str, experiment_id: str, run_id: str, artifact: str = "") -> str:
    """Return the link to a run's page, or to one of its artifacts if one is named."""
    page = f"/artifacts/{quote(artifact)}" if artifact else ""
    return f"{address}/#/experiments/{experiment_id}/runs/{run_id}{page}?{_WORKFLOW}"


def table_url(address: str, experiment_id: str) -> str:
    """Return the link to the table of all trials, with the preset of `TABLE_VIEW`."""
    return (
        f"{address}/#/experiments/{experiment_id}/runs?{_WORKFLOW}&viewStateShareKey={TABLE_VIEW}"
    )


def charts_url(address: str, experiment_id: str, view: str) -> str:
    """Return the link to the chart view, with the preset that has the key ``view`` (see
    `view_format.py`).

    The link has no filter, because MLflow would then ignore the preset.
    """
    return (
        f"{address}/#/experiments/{experiment_id}/runs?{_WORKFLOW}"
        f"&compareRunsMode=CHART&viewStateShareKey={quote(view)}"
    )
