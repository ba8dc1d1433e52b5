"""An executor that trains stacks one after another in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from core.trainer.stack import Stack
from search.blas import one_blas_thread
from search.training.executor import Examples, Folds, StackJob, Watch, run_job


class InProcess:
    """An executor that trains each stack when it is asked for, with one BLAS thread."""

    def __init__(self, folds: Folds) -> None:
        self._examples = Examples(folds)
        self.training_seconds = 0.0

    def run(self, jobs: Sequence[StackJob], watch: Watch) -> Iterator[Stack]:
        """Train the jobs; see `Executor.run`."""
        self.training_seconds = 0.0

        def on_epoch(trained: int) -> bool:
            watch.trained(trained)
            return watch.stopping()

        for job in jobs:
            started = time.perf_counter()
            with one_blas_thread():
                stack = run_job(self._examples, job, on_epoch)
            self.training_seconds += time.perf_counter() - started
            if watch.stopping():
                return
            yield stack
            del stack  # The next one needs the memory.
