"""Links into the MLflow UI. Its pages read their state from the URL's fragment."""

from __future__ import annotations

from urllib.parse import quote

# Keys of a study's presets.
BEST_VIEW, SEARCH_VIEW, SIDE_VIEW, TABLE_VIEW = "best", "search", "side", "table"
_WORKFLOW = "workflowType=machine_learning"  # without it the UI opens on its GenAI pages


def run_url(address: str, experiment_id: str, run_id: str, artifact: str = "") -> str:
    """A run's page; its artifacts, opened at this one, if one is named."""
    page = f"/artifacts/{quote(artifact)}" if artifact else ""
    return f"{address}/#/experiments/{experiment_id}/runs/{run_id}{page}?{_WORKFLOW}"


def table_url(address: str, experiment_id: str) -> str:
    """The table of all trials, preset as `charts_url` is."""
    return (
        f"{address}/#/experiments/{experiment_id}/runs?{_WORKFLOW}&viewStateShareKey={TABLE_VIEW}"
    )


def charts_url(address: str, experiment_id: str, view: str) -> str:
    """The chart view, preset by the shared view of this key (see `view_format.py`).

    No filter goes into the link: MLflow would then ignore the preset.
    """
    return (
        f"{address}/#/experiments/{experiment_id}/runs?{_WORKFLOW}"
        f"&compareRunsMode=CHART&viewStateShareKey={quote(view)}"
    )
