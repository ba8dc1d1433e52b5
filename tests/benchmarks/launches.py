"""Benchmark 2: whole launches with full logging, against the peers on the same configurations."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import one_core, sgemm_seconds, table

HERE = Path(__file__).resolve().parent
GRID, GRID_EPOCHS = 600, 100
ROWS, FEATURES, CLASSES = 10_000, 784, 2
TIMEOUT = 900  # seconds a program


@dataclass(frozen=True, slots=True)
class Comparison:
    """One call of the peers' runner: which rows, how much work."""

    title: str
    rows: str
    configs: int
    epochs: int
    full: int  # configurations that JAX and ours are run with as well; 0 for none
    rounds: int


def _comparisons(rounds: int, quick: bool) -> list[Comparison]:
    if quick:
        return [Comparison("A smoke test", "a,f", 5, 2, 20, 1)]
    every = "a,a2,b,c,c2,d,d2,e,f"
    return [
        Comparison("All peers, a small search", every, 25, 20, 0, rounds),
        Comparison("The whole grid", "a,f", 10, GRID_EPOCHS, GRID, rounds),
    ]


def _run(
    comparison: Comparison, data: Path, peers: Path, ray_python: Path | None, folder: Path
) -> list[dict[str, Any]]:
    """The runner's record of every run; its table goes to table.md in the folder."""
    ours = shlex.join([sys.executable, str(HERE / "peers_ours.py")])
    ours += " --configs {configs} --epochs {epochs} --data {data} --out {out} --grid {grid}"
    command = [
        sys.executable, str(peers / "run_peers.py"), "--data", str(data), "--out", str(folder),
        "--only", comparison.rows, "--configs", str(comparison.configs),
        "--epochs", str(comparison.epochs), "--repeats", str(comparison.rounds),
        "--full-f", str(comparison.full), "--timeout", str(TIMEOUT),
        "--ours", f"ours={ours}", "--ours", f"thin={ours} --thin",
    ]  # fmt: skip
    if ray_python is not None:
        command += ["--ray-python", str(ray_python)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    runs: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["runs"]
    return runs


def launches(
    data: Path | None,
    peers: Path,
    ray_python: Path | None,
    rounds: int,
    quick: bool,
    say: Callable[[str], None],
) -> str:
    """The Markdown section."""
    heading = "## Whole launches, against what one would write today\n\n"
    if not (peers / "run_peers.py").is_file():
        return f"{heading}Skipped: there are no peer programs in {peers} (--peers)."
    if data is None:
        return f"{heading}Skipped: the peers need a folder of MNIST's files (--data)."
    parts = [heading + _LEGEND]
    for comparison in _comparisons(rounds, quick):
        say(f"{comparison.title} …")
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent, "out")  # the runner wants to make it
            with one_core():
                peak = 1 / sgemm_seconds()
            runs = _run(comparison, data.resolve(), peers.resolve(), ray_python, folder)
            parts.append(f"### {comparison.title}\n\n" + (folder / "table.md").read_text().strip())
        if comparison.full:
            parts.append(_whole_grid(comparison, runs, peak))
    return "\n\n".join(parts)


_LEGEND = (
    "The peers' own runner and columns; `ours` logs every epoch as they do, `thin` is launch's "
    "default (some epochs, which show the same curve). `grid h` is extrapolated to 600 "
    "configurations × 100 epochs, but measured where marked ^. Rows with another optimiser or no "
    "curves are marked (*)."
)


def _whole_grid(comparison: Comparison, runs: Sequence[dict[str, Any]], peak: float) -> str:
    """Ours against the two peers that frame the field, and against the project's aims."""
    done = [run for run in runs if run["status"] == "ok"]

    def of(row: str, configs: int) -> dict[int, dict[str, Any]]:
        return {run["round"]: run for run in done if run["row"] == row and run["n"] == configs}

    full, small = comparison.full, comparison.configs
    jax, plain = of("f", full), of("a", small)

    def median(values: Sequence[float]) -> str:
        return f"{statistics.median(values):.3g}" if values else "–"

    nominal = 4 * ROWS * FEATURES * CLASSES * full * comparison.epochs
    columns = []
    for name in ("ours", "thin"):
        ours = of(name, full)
        both = [(ours[r], jax[r]) for r in ours if r in jax]
        training = {r: run["train_s"] / run["parallel"] for r, run in ours.items()}
        columns.append(
            [
                median([other["wall_s"] / run["wall_s"] for run, other in both]),
                median([other["proc_s"] / run["proc_s"] for run, other in both]),
                median([plain[r]["grid_h"] / ours[r]["grid_h"] for r in ours if r in plain]),
                median([run["wall_s"] for run in ours.values()]),
                median(list(training.values())),
                median([nominal / training[r] / (run["parallel"] * peak)
                        for r, run in ours.items()]),
                median([1000 * run["log_s"] / full for run in ours.values()]),
                median([100 * (run["wall_s"] / training[r] - 1) for r, run in ours.items()]),
                median([run["peak_memory_mb"] for run in ours.values()]),
            ]
        )  # fmt: skip
    labels = [
        ("× faster than JAX vmap + log_batch (f), wall", "≥ 3"),
        ("the same, whole process with imports", ""),
        ("× faster than Optuna + NumPy loop + MLflow fluent (a), extrapolated", "≥ 50"),
        ("wall, s", ""),
        ("training, s", "≤ 22 on the reference machine"),
        ("training: nominal flop/s over cores × sgemm peak", ""),
        ("logging a trial, ms", "≤ 40"),
        ("wall beyond training, %", "≤ 60"),
        ("peak memory of all processes, MB", "≤ 1,500"),
    ]
    rows = [[*label, *cells] for label, *cells in zip(labels, *columns, strict=True)]
    return (
        f"{full} configurations × {comparison.epochs} epochs; sgemm peak {peak / 1e9:.0f} Gflop/s "
        "on one core:\n\n" + table(["", "aim", "ours", "thin"], rows)
    )
