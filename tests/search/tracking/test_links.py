from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from search.tracking.links import (
    BEST_VIEW,
    COMPARED,
    SEARCH_VIEW,
    charts_url,
    compare_url,
    run_url,
    table_url,
)

ADDRESS = "http://127.0.0.1:5000"
RUNS = [f"{n:032x}" for n in range(12)]


def page(url: str) -> tuple[str, dict[str, list[str]]]:
    """The UI's own path and parameters, which stand in the fragment."""
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ADDRESS}/"
    path, _, query = parts.fragment.partition("?")
    return path, parse_qs(query, strict_parsing=bool(query))


def test_run_url() -> None:
    path, query = page(run_url(ADDRESS, "7", RUNS[1]))
    assert path == f"/experiments/7/runs/{RUNS[1]}"
    assert query == {"workflowType": ["machine_learning"]}


def test_table_url() -> None:
    path, query = page(table_url(ADDRESS, "7"))
    assert path == "/experiments/7/runs"
    assert query == {"workflowType": ["machine_learning"], "viewStateShareKey": ["table"]}


@pytest.mark.parametrize("count", [0, 1, 2, 12])
def test_compare_url(count: int) -> None:
    url = compare_url(ADDRESS, "7", RUNS[:count])
    assert '"' not in url
    assert " " not in url
    path, query = page(url)
    assert path == "/compare-runs"
    runs = ",".join(f'"{run}"' for run in RUNS[: min(count, COMPARED)])
    assert query == {
        "runs": [f"[{runs}]"],
        "experiments": ['["7"]'],
        "workflowType": ["machine_learning"],
    }
    # The form that the page reads: the runs come first.
    assert unquote(urlsplit(url).fragment).startswith("/compare-runs?runs=[")


@pytest.mark.parametrize("view", [BEST_VIEW, SEARCH_VIEW])
def test_charts_url(view: str) -> None:
    path, query = page(charts_url(ADDRESS, "7", view))
    assert path == "/experiments/7/runs"
    assert query == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": ["CHART"],
        "viewStateShareKey": [view],
    }
