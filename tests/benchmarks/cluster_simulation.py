"""A cluster of any size, simulated from measured times: tasks go to whoever is free, and what they
give is recorded by one driver, in the order in which it was submitted."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass

STACKS_EACH = 10  # for every worker


@dataclass(frozen=True, slots=True)
class StackTime:
    """Of a stack, on its worker."""

    seconds: float
    trials: int


@dataclass(frozen=True, slots=True)
class Server:
    """What writes runs for many clients: so many at a time, each in so many seconds a trial."""

    clients: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Simulated:
    """busy: share of the workers' time spent training. rate: trials a second, in all."""

    busy: float
    rate: float


def simulate(
    workers: int,
    stacks: Sequence[StackTime],
    driver: Sequence[float],
    server: Server | None = None,
    seed: int = 0,
) -> Simulated:
    """stacks: to be drawn from. driver: its seconds for a trial, to be drawn from. server: which
    the workers write their runs to themselves, one after the other, before they go on."""
    rng = random.Random(seed)
    left = STACKS_EACH * workers
    training: list[tuple[float, int, int]] = []  # a heap: end, place among the stacks, trials
    arrivals: dict[int, tuple[float, int]] = {}  # at the driver, with the trials
    busy = 0.0

    def start(now: float) -> None:
        nonlocal left, busy
        if left:
            left -= 1
            drawn = rng.choice(stacks)
            busy += drawn.seconds
            place = STACKS_EACH * workers - left
            heapq.heappush(training, (now + drawn.seconds, place, drawn.trials))

    for _ in range(workers):
        start(0.0)
    written = [0.0] * (server.clients if server else 0)  # a heap: when each has time again
    while training:
        now, place, trials = heapq.heappop(training)
        if server is not None:
            now = max(now, written[0]) + trials * server.seconds
            heapq.heapreplace(written, now)
        arrivals[place] = now, trials
        start(now)
    clock, recorded = 0.0, 0
    for _, (arrival, trials) in sorted(arrivals.items()):
        clock = max(clock, arrival) + sum(rng.choices(driver, k=trials))
        recorded += trials
    return Simulated(busy / (workers * clock), recorded / clock)
