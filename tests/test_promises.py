"""PROMISES.md and SECURITY.md are true to the suite: each row's tests exist, and no test of faults/
is left out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROWS = [
    line.strip("|").split("|")
    for file in (TESTS / "PROMISES.md", TESTS.parent / "SECURITY.md")
    for line in file.read_text().splitlines()
    if line.startswith("|") and "::" in line
]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def functions_of(file: Path) -> set[str]:
    """Names of the test functions that pytest collects, those that are always skipped left out."""
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not any("mark.skip(" in ast.unparse(each) for each in node.decorator_list)
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:60])
def test_a_row_names_tests_that_exist(row: list[str]) -> None:
    *said, tests = row
    assert all(cell.strip() for cell in said)
    named = NAMED.findall(tests)
    assert named, "a promise without a test is none"
    assert not NAMED.sub("", tests).strip(), "only tests stand in the last column"
    for file, name in named:
        assert name in functions_of(TESTS / file), f"{file}::{name}"


def test_every_test_of_faults_is_in_the_table() -> None:
    named = {pair for row in ROWS for pair in NAMED.findall(row[-1])}
    files = sorted((TESTS / "faults").glob("test_*.py"))
    assert files
    for file in files:
        for name in functions_of(file):
            assert (f"faults/{file.name}", name) in named, "it belongs in a table"
