"""How the benchmarks measure: interleaved rounds, ratios within a round, medians over rounds.

A noisy machine then disturbs all variants alike, and a ratio compares neighbours in time.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

PEAK_SIZE = 1536  # of the square product that is called the peak
SAMPLE_SECONDS = 0.25

Rounds = dict[str, list[float]]


def interleaved(variants: Mapping[str, Callable[[], float]], rounds: int) -> Rounds:
    """Every variant once per round; what each returned, by round. One round before is not kept."""
    measured: Rounds = {name: [] for name in variants}
    for number in range(-1, rounds):
        for name, measure in variants.items():
            value = measure()
            if number >= 0:
                measured[name].append(value)
    return measured


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the ratios within a round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def sgemm_seconds() -> float:
    """Seconds of one float32 operation in a large square product: the best of three."""
    A = np.random.default_rng(0).random((PEAK_SIZE, PEAK_SIZE), dtype=np.float32)
    C = np.empty_like(A)
    best = min(timed(lambda: np.matmul(A, A, out=C)) for _ in range(3))
    return best / (2 * PEAK_SIZE**3)


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process and those it starts on one core, one BLAS thread each."""
    with threadpool_limits(1), contextlib.ExitStack() as stack:
        if hasattr(os, "sched_setaffinity"):
            cores = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {max(cores)})
            stack.callback(os.sched_setaffinity, 0, cores)
        yield


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, numbers to the right."""
    lines = [headings, ["---:"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """What a reader needs to judge the numbers, and no name of a host."""
    (blas,) = [each for each in threadpool_info() if each["user_api"] == "blas"][:1] or [{}]
    flags = ""
    with contextlib.suppress(OSError):
        known = Path("/proc/cpuinfo").read_text().split()
        present = [name for name in ("avx2", "avx512f", "amx_tile") if name in known]
        flags = f" with {', '.join(present)}" if present else ""
    return (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores ({platform.machine()}{flags}), "
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"{blas.get('internal_api', 'BLAS')} {blas.get('version', '')} "
        f"({blas.get('architecture', 'unknown')} kernels); one BLAS thread a process; "
        f"load before the run {os.getloadavg()[0]:.1f}"
    )


class PeakMemory:
    """Samples the memory of this process and all its descendants until the ``with`` block ends.

    total, largest: bytes, of all together and of the largest process; shared pages count once
    (proportional set size). 0 where there is no /proc.
    """

    def __init__(self) -> None:
        self.total = self.largest = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            sizes = [_proportional_bytes(pid) for pid in _family(os.getpid())]
            self.total = max(self.total, sum(sizes))
            self.largest = max(self.largest, *sizes, 0)
            if self._done.wait(SAMPLE_SECONDS):
                return


def _family(root: int) -> list[int]:
    """A process and its descendants."""
    family = [root]
    for pid in family:  # grows while it is walked
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                family += map(int, children.read_text().split())
    return family


def core_seconds_of_family(root: int | None = None) -> float:
    """Used so far by a process, by default this one, and its descendants, those included that ended
    and were waited for; 0 where there is no /proc."""
    ticks = 0
    for pid in _family(root or os.getpid()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class Clocks:
    """What watched functions took, by label: calls, wall seconds, core seconds of their thread."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    def watch(self, owner: Any, name: str, label: str | Callable[..., str]) -> None:
        """label: or what makes one of the arguments."""
        watched: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            wall, core = time.perf_counter(), time.thread_time()
            try:
                return watched(*args, **options)
            finally:
                key = label if isinstance(label, str) else label(*args, **options)
                took = (1, time.perf_counter() - wall, time.thread_time() - core)
                before = self.spent.get(key, (0, 0.0, 0.0))
                self.spent[key] = [a + b for a, b in zip(before, took, strict=True)]

        setattr(owner, name, timed)


def _proportional_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Unwatched:
    """Follows no training and never stops it: what an executor asks for."""

    def trained(self, epochs: int) -> None:
        pass

    def repeated(self, epochs: int) -> None:
        pass

    def waiting(self) -> None:
        pass

    def stopping(self) -> bool:
        return False
