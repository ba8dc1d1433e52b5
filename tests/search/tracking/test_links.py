from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from search.tracking.links import (
    BEST_VIEW,
    SEARCH_VIEW,
    SIDE_VIEW,
    charts_url,
    run_url,
    table_url,
)

ADDRESS = "http://127.0.0.1:5000"
RUN = f"{1:032x}"


def page(url: str) -> tuple[str, dict[str, list[str]]]:
    """The UI's own path and parameters, which stand in the fragment."""
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ADDRESS}/"
    path, _, query = parts.fragment.partition("?")
    return path, parse_qs(query, strict_parsing=bool(query))


def test_run_url() -> None:
    path, query = page(run_url(ADDRESS, "7", RUN))
    assert path == f"/experiments/7/runs/{RUN}"
    assert query == {"workflowType": ["machine_learning"]}


def test_table_url() -> None:
    path, query = page(table_url(ADDRESS, "7"))
    assert path == "/experiments/7/runs"
    assert query == {"workflowType": ["machine_learning"], "viewStateShareKey": ["table"]}


@pytest.mark.parametrize("view", [BEST_VIEW, SEARCH_VIEW, SIDE_VIEW])
def test_charts_url(view: str) -> None:
    path, query = page(charts_url(ADDRESS, "7", view))
    assert path == "/experiments/7/runs"
    assert query == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": ["CHART"],
        "viewStateShareKey": [view],
    }
