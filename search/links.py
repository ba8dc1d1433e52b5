"""Links into the MLflow UI. Its pages read their state from the URL's fragment."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

COMPARED = 3  # with more runs, the page leaves no room for the artifacts' list
BEST_VIEW, SEARCH_VIEW = "best", "search"  # keys of the two presets of a study
_WORKFLOW = "workflowType=machine_learning"  # without it the UI opens on its GenAI pages


def run_url(address: str, experiment_id: str, run_id: str) -> str:
    return f"{address}/#/experiments/{experiment_id}/runs/{run_id}?{_WORKFLOW}"


def compare_url(address: str, experiment_id: str, run_ids: Sequence[str]) -> str:
    """The compare page of the first of these runs, their artifacts side by side."""
    runs = ",".join(f'"{run_id}"' for run_id in run_ids[:COMPARED])
    query = quote(f'runs=[{runs}]&experiments=["{experiment_id}"]', safe="=&[],")
    return f"{address}/#/compare-runs?{query}&{_WORKFLOW}"


def charts_url(address: str, experiment_id: str, view: str) -> str:
    """The chart view, preset by the shared view of this key (see `shared_view.py`).

    No filter goes into the link: MLflow would then ignore the preset.
    """
    return (
        f"{address}/#/experiments/{experiment_id}/runs?{_WORKFLOW}"
        f"&compareRunsMode=CHART&viewStateShareKey={quote(view)}"
    )
