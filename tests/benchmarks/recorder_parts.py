"""What recording costs, in parts: `recorders.py` starts it with a study file.

It launches the study twice, in homes of their own: with two recorders, for what is left to the
driver; and with none, for the core seconds of writing a run and the seconds in which SQLite's lock
for writers is held. The last line of standard output is JSON, in seconds a trial.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

# Heavy imports happen inside functions: training processes import this file too.


def main() -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from search.commands.driver import Driver
    from search.commands.launch import launch
    from search.console import Console
    from search.settings import Settings
    from search.spec.study_file import load
    from search.tracking.trial_writer import TrialWriter

    spent: dict[str, float] = {"driver": 0.0, "writing": 0.0, "locked": 0.0}
    since: dict[int, float] = {}  # when each connection began to write

    def began(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
            since.setdefault(id(connection), time.perf_counter())

    def ended(connection: Any) -> None:
        start = since.pop(id(connection), None)
        if start is not None:
            spent["locked"] += time.perf_counter() - start

    record_all, write = Driver.record_all, TrialWriter.write

    def recorded(self: Driver, *arguments: Any) -> None:
        started = time.process_time()
        record_all(self, *arguments)
        spent["driver"] += time.process_time() - started

    def written(self: TrialWriter, *arguments: Any) -> str:
        started = time.thread_time()
        for name, hear in hears.items():
            event.listen(Engine, name, hear)
        try:
            return write(self, *arguments)
        finally:
            for name, hear in hears.items():
                event.remove(Engine, name, hear)
            spent["writing"] += time.thread_time() - started

    hears: dict[str, Any] = {"before_cursor_execute": began, "commit": ended}
    Driver.record_all = recorded  # type: ignore[method-assign]
    TrialWriter.write = written  # type: ignore[method-assign]
    spec = load(Path(sys.argv[1]))
    found: dict[str, float] = {}
    for n in (2, 1):
        home = Path(f"home-{n}")
        report = launch(spec, Settings(home=home, recorders=n, workers=1), Console(as_json=True))
        trials = len(report.trials)
        if n == 2:
            found["driver"] = spent["driver"] / trials
    print(json.dumps(found | {name: spent[name] / trials for name in ("writing", "locked")}))


if __name__ == "__main__":
    main()
