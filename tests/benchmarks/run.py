"""Lockstep's benchmarks: one command, Markdown tables on standard output.

    python tests/benchmarks/run.py all --data MNIST_DIR --out TABLES.md
    python tests/benchmarks/run.py trainer --quick

Run it on a machine that does nothing else. What the tables mean: README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Before NumPy is imported, hence by everything that is started from here too.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PARTS = (
    "trainer", "methods", "launch", "growth", "optuna", "cluster", "search", "tables", "features",
    "recorders", "pages",
)  # fmt: skip
ROUNDS = {
    "trainer": 5,
    "methods": 9,
    "launch": 3,
    "growth": 3,
    "optuna": 3,
    "cluster": 2,
    "search": 5,
    "tables": 5,
    "features": 3,
    "recorders": 3,
    "pages": 3,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=(*PARTS, "all"), nargs="?", default="all")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("LOCKSTEP_DATA"),
        help="folder of MNIST's IDX files (default: $LOCKSTEP_DATA, else they are downloaded)",
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=REPOSITORY.parent / "shared" / "peers",
        help="folder of the peer programs (default: %(default)s)",
    )
    parser.add_argument(
        "--ray-python", type=Path, help="an environment with ray[tune] and mlflow, for its peer"
    )
    parser.add_argument(
        "--tables",
        type=Path,
        default=REPOSITORY.parent / "shared" / "data" / "real",
        help="folder of tables, whose labels are in a column called class (default: %(default)s)",
    )
    parser.add_argument(
        "--layers", type=Path, help="a folder of layer-*.npy, labels.npy and split.npy"
    )
    parser.add_argument(
        "--torch-python", type=Path, help="an environment with torch, for the linear heads"
    )
    parser.add_argument("--rounds", type=int, help=f"rounds of each part (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="few cells, one round: a smoke test")
    parser.add_argument("--out", type=Path, help="write the tables to this file too")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measure(part: str, options: argparse.Namespace) -> str:
    rounds = options.rounds or (1 if options.quick else ROUNDS[part])
    if part == "trainer":
        from trainer import trainer

        return trainer(options.data, rounds, options.quick, _say)
    if part == "methods":
        from methods import methods

        return methods(options.data, rounds, options.quick, _say)
    if part == "launch":
        from launches import launches

        return launches(
            options.data, options.peers, options.ray_python, rounds, options.quick, _say
        )
    if part == "growth":
        from growth import growth

        return growth(rounds, options.quick, _say)
    if part == "cluster":
        from cluster import cluster

        return cluster(options.data, rounds, options.quick, _say)
    if part == "recorders":
        from recorders import recorders

        return recorders(options.data, rounds, options.quick, _say)
    if part == "pages":
        from pages import pages

        return pages(rounds, options.quick, _say)
    if part == "features":
        from features import features

        return features(options.layers, options.torch_python, rounds, options.quick, _say)
    if part == "tables":
        from tables import tables

        return tables(options.tables, rounds, options.quick, _say)
    if part == "search":
        from search_efficiency import search_efficiency

        return search_efficiency(options.data, rounds, options.quick, _say)
    from recording import recording

    return recording(rounds, options.quick, _say)


def main(write: Callable[[str], object] = print) -> None:
    options = _arguments()
    from measure import machine

    sections = [f"Measured on {machine()}."]
    for part in PARTS if options.part == "all" else (options.part,):
        started = time.perf_counter()
        _say(f"{part} …")
        sections.append(_measure(part, options))
        _say(f"{part}: {time.perf_counter() - started:.0f} s")
        if options.out:  # after every part, so that a long run that is stopped leaves something
            options.out.write_text("\n\n".join(sections) + "\n")
    write("\n\n".join(sections))


if __name__ == "__main__":
    main()
