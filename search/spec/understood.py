"""A study file as it is understood: every key that counts, with the defaults of those left out."""

from __future__ import annotations

from typing import Any

from core.datasets.source import suffix_of
from search.spec.data_spec import FILES
from search.spec.search_spec import BUDGET
from search.spec.study_spec import StudySpec


def understood(spec: StudySpec) -> dict[str, Any]:
    """Return the tables of a study file that means the same, as plain values without None.

    Keys that do not apply are left out, because a file that gives them is refused: the budget and
    the cohort of a grid, and the fraction that is held out where a file or folds decide it. The
    file has the same digest, so that it continues the same study.
    """
    tables: dict[str, Any] = spec.model_dump(mode="json")
    search, data = tables["search"], tables["data"]
    if spec.search.sampler == "grid":
        for key in (*BUDGET, "cohort"):
            del search[key]
    from_file = spec.data.features is not None or suffix_of(spec.data.source) in FILES
    given = "validation_fraction" in spec.data.model_fields_set
    if spec.data.folds is not None or (from_file and not given):
        del data["validation_fraction"]  # A file may have parts of its own.
    for key in ("source", "ignore"):
        if not data[key]:
            del data[key]
    return _given(tables)


def _given(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table without the keys whose value is None."""
    return {
        key: _given(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }
