"""Which way imports run, and what is loaded when: `pyproject.toml` has the contracts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import HUNG

ROOT = Path(__file__).parents[1]
FILES = {
    package: sorted((ROOT / package).rglob("*.py")) for package in ("core", "search", "lockstep")
}
SERVED = "search.model.served_model"  # runs without Lockstep, and where MLflow is loaded anyway


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def loaded_after(*modules: str) -> set[str]:
    """Top-level packages in sys.modules of a new interpreter that imported these modules."""
    statements = "\n".join(f"import {name}" for name in modules)
    code = (
        f"import json, sys\nsys.path.insert(0, {str(ROOT)!r})\n{statements}\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    # -S and -P would change what can be imported; -I keeps the user's settings out of it.
    command = [sys.executable, "-I", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=HUNG, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in json.loads(run.stdout)}


def test_imports_run_one_way() -> None:
    """The contracts of import-linter: layers, rooms that do not know each other, one room for
    Optuna, two for MLflow."""
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=HUNG, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_core_loads_neither_optuna_nor_mlflow() -> None:
    modules = [module_name(file) for file in FILES["core"]]
    assert {"core", "core.trainer.stack", "core.datasets.sources"} <= set(modules)
    loaded = loaded_after(*modules)
    assert {"core", "numpy"} <= loaded
    unwanted = {"optuna", "mlflow", "matplotlib", "tomllib", "search", "click", "pydantic"}
    assert not loaded & unwanted


def test_command_line_loads_no_heavy_package() -> None:
    """So that --help stays quick."""
    loaded = loaded_after("search.cli")
    assert {"search", "click"} <= loaded
    heavy = {"numpy", "scipy", "sklearn", "optuna", "mlflow", "matplotlib", "pydantic", "PIL"}
    assert not loaded & heavy


def test_mlflow_is_loaded_late() -> None:
    """It takes seconds: no module needs it in order to be imported, but for the served model."""
    modules = [name for name in map(module_name, FILES["search"]) if name != SERVED]
    loaded = loaded_after(*modules)
    assert {"search", "optuna"} <= loaded
    assert not loaded & {"mlflow", "dask", "distributed", "torch", "tests"}


@pytest.mark.parametrize("room", ["core", "search", "lockstep"])
def test_every_room_says_what_lives_there(room: str) -> None:
    """The first thing that a newcomer reads: three lines or more."""
    for init in (ROOT / room).rglob("__init__.py"):
        docstring = compile(init.read_text(), str(init), "exec").co_consts[0]
        assert isinstance(docstring, str), init
        assert len(docstring.strip().splitlines()) >= 3, init
