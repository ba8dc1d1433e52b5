"""`lockstep launch` with clocks in its driver, which records: what recording a trial consists of.

    python profiled_launch.py PROFILE.json launch STUDY --recorders 1 …

Beside what a launch writes, PROFILE.json: the seconds of every trial's recording, and by step the
calls, wall seconds and core seconds of the recording thread.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Heavy imports happen inside the function: training processes import this file too, as any program
# that starts them.

STEPS = ("create_run", "log_batch", "log_inputs", "log_artifacts", "set_terminated")  # of MLflow
PNG, OPTUNA, TRIAL, HTTP = "weight image", "Optuna", "trial", "HTTP "


def _endpoint(session: Any, request: Any, **options: Any) -> str:
    path = urlsplit(request.url).path.partition("/mlflow")[2]
    name = "artifacts" if path.startswith("-artifacts") else path.strip("/")
    return f"{HTTP}{request.method} {name}"


def main() -> None:
    import requests
    from measure import Clocks
    from mlflow import MlflowClient

    from search.cli import main as lockstep
    from search.commands.commits import Commits
    from search.commands.driver import Driver
    from search.figures.image_weights import ImageWeights
    from search.study.search_study import SearchStudy

    profile, *sys.argv[1:] = sys.argv[1:]
    clocks = Clocks()
    for step in STEPS:
        clocks.watch(MlflowClient, step, step)
    clocks.watch(ImageWeights, "one", PNG)
    clocks.watch(SearchStudy, "record", OPTUNA)
    clocks.watch(requests.Session, "send", _endpoint)
    clocks.watch(Commits, "add", TRIAL)
    each: list[float] = []
    record, run = Commits.add, Driver.record_all

    def recorded(self: Commits, *args: Any) -> None:
        started = time.perf_counter()
        record(self, *args)
        each.append(time.perf_counter() - started)

    def watched(self: Driver, *args: Any) -> None:
        clocks.spent.clear()  # what opened the study
        run(self, *args)
        Path(profile).write_text(json.dumps({"each": each, "steps": clocks.spent}))

    Commits.add, Driver.record_all = recorded, watched  # type: ignore[method-assign]
    lockstep()


if __name__ == "__main__":
    main()
