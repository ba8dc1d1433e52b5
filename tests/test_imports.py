"""Which way imports run, and what each package may know: studies → search → core."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from command import HUNG

ROOT = Path(__file__).parents[1]
FILES = {package: sorted((ROOT / package).rglob("*.py")) for package in ("core", "search")}
MLFLOW_FILES = ("tracking.py", "tracking_*.py", "served_model.py")


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def loaded_after(statements: str) -> set[str]:
    """Top-level packages in sys.modules of a new interpreter that ran these statements."""
    code = f"import json, sys\n{statements}\nprint(json.dumps(sorted(sys.modules)))"
    # -S and -P would change what can be imported; -I keeps the user's settings out of it.
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=HUNG, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in json.loads(run.stdout)}


def imports(tree: ast.AST, *, top_level: bool = False) -> Iterator[str]:
    """Absolute names of the modules that are imported when the code runs.

    What only a type checker reads is left out, and with ``top_level`` what stands in functions.
    """
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                assert node.level == 0, f"relative import in line {node.lineno}"
                yield str(node.module)
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for other in node.orelse:
                    yield from imports(ast.Module([other], []), top_level=top_level)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() if top_level:
                pass
            case _:
                yield from imports(node, top_level=top_level)


def packages_imported(file: Path, *, top_level: bool = False) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {name.partition(".")[0] for name in imports(tree, top_level=top_level)}


def test_the_walk_itself() -> None:
    source = """
import a.b
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import only_types
else:
    import c
try:
    from d import e
except ImportError:
    pass
class K:
    import f
    def method(self):
        import g
"""
    tree = ast.parse(source)
    top = {"a.b", "typing", "typing.TYPE_CHECKING", "c", "d", "d.e", "f"}
    assert set(imports(tree, top_level=True)) == top
    assert set(imports(tree)) == top | {"g"}
    assert all(FILES.values())


def test_core_loads_neither_optuna_nor_mlflow() -> None:
    modules = [module_name(file) for file in FILES["core"]]
    assert {"core", "core.stack", "core.sources"} <= set(modules)
    loaded = loaded_after("\n".join(f"import {name}" for name in modules))
    assert {"core", "numpy"} <= loaded
    unwanted = {"optuna", "mlflow", "matplotlib", "tomllib", "search", "click", "pydantic"}
    assert not loaded & unwanted


def test_command_line_loads_no_heavy_package() -> None:
    """So that --help stays quick."""
    loaded = loaded_after("import search.cli")
    assert {"search", "click"} <= loaded
    heavy = {"numpy", "scipy", "sklearn", "optuna", "mlflow", "matplotlib", "pydantic", "PIL"}
    assert not loaded & heavy


@pytest.mark.parametrize("file", FILES["core"], ids=module_name)
def test_core_imports_only_what_it_may(file: Path) -> None:
    known = {"core", "numpy", "scipy", "sklearn"} | sys.stdlib_module_names
    assert packages_imported(file) <= known - {"tomllib"}


@pytest.mark.parametrize("file", FILES["search"], ids=module_name)
def test_search_imports_no_tests_and_no_studies(file: Path) -> None:
    assert not packages_imported(file) & {"tests", "studies", "strategies", "conftest"}


@pytest.mark.parametrize("file", FILES["search"], ids=module_name)
def test_mlflow_is_imported_by_its_mirror_alone_and_late(file: Path) -> None:
    if "mlflow" in packages_imported(file):
        assert any(fnmatch(file.name, pattern) for pattern in MLFLOW_FILES)
    if file.name != "served_model.py":
        assert "mlflow" not in packages_imported(file, top_level=True)
