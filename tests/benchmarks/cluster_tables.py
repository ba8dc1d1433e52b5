"""The tables of the cluster benchmark."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cluster_driver
from cluster_driver import Recorded, Written
from cluster_simulation import STACKS_EACH, Server, StackTime, simulate
from measure import ratio, table
from profiled_launch import OPTUNA

WORKERS = (10, 30, 100, 300, 1_000)


@dataclass(frozen=True, slots=True)
class Trained:
    """share: of the study's epochs that its stacks were trained for. seconds: of all stacks, by
    executor and round. stacks: as Dask trained each of them, with all the study's epochs."""

    share: float
    seconds: dict[str, list[float]]
    stacks: list[StackTime]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def overhead(empty: Mapping[str, Sequence[float]]) -> str:
    rows = [[name, _ms(statistics.median(seconds))] for name, seconds in empty.items()]
    return "### Overhead and efficiency\n\n" + table(["2 workers", "ms an empty task"], rows)


def efficiency(trained: Mapping[str, Trained]) -> str:
    rows = []
    for problem, measured in trained.items():
        one = measured.seconds["in process"]
        for name, seconds in measured.seconds.items():
            workers = 1 if name == "in process" else 2
            rows.append(
                [
                    problem,
                    name,
                    str(workers),
                    f"{statistics.median(seconds):.2f}",
                    f"{100 * ratio(one, seconds) / workers:.0f} %",
                    f"{100 * ratio(measured.seconds['processes'], seconds):.0f} %"
                    if workers == 2
                    else "",
                ]
            )
    parts = ", ".join(f"{100 * each.share:.0f} % for {name}" for name, each in trained.items())
    return (
        f"Each study's own stacks, twice, for some of their epochs ({parts}); efficiency is the "
        "speed a worker against that of training in one process, which has the machine for "
        "itself.\n\n"
        + table(["study", "trained", "workers", "seconds", "efficiency", "against processes"], rows)
    )


def recording(alone: Mapping[str, Recorded], served: Mapping[str, Recorded]) -> str:
    headings = ["recording a trial, ms"]
    columns: list[Recorded] = []
    for problem in served:
        headings += [f"{problem}, local", f"{problem}, services"]
        columns += [alone[problem], served[problem]]

    def row(title: str, value: Callable[[Recorded], str]) -> list[str]:
        return [title, *map(value, columns)]

    def step(label: str) -> Callable[[Recorded], str]:
        return lambda each: f"{each.milliseconds(label):.1f}"

    rows = [
        *(row(title, step(label)) for title, label in cluster_driver.steps()),
        row("core time of the driver's thread in it", lambda each: f"{each.computing:.1f}"),
        row("waiting for HTTP in it", lambda each: f"{each.waiting:.1f}"),
        row("HTTP requests a trial", lambda each: f"{each.requests:.1f}"),
        *(
            row(
                f"core time of {title}, whole launch",
                lambda each, names=names: f"{_cores(each, names):.1f}" if each.cores else "",
            )
            for title, names in (
                ("the MLflow server", ["mlflow"]),
                ("PostgreSQL", ["postgres"]),
                ("Dask, training included", ["scheduler", "worker-1", "worker-2"]),
            )
        ),
        row("trials/s of the driver", lambda each: f"{each.rate:.1f}"),
        row("the launch, s", lambda each: f"{each.total:.1f}"),
    ]
    trials = columns[0].trials
    return (
        f"### The driver\n\nLaunches of {trials} trials with the classes, pictures and epochs of "
        "the study, on so few rows that training takes next to nothing. Local: Optuna journal, "
        "SQLite, two processes. Services: those of `docker-compose.yml` on this machine.\n\n"
        + table(headings, rows)
    )


def _cores(recorded: Recorded, names: Sequence[str]) -> float:
    return 1000 * sum(recorded.cores[name] for name in names) / recorded.trials


def server(ceiling: Mapping[str, Sequence[Written]]) -> str:
    rows = [
        [
            problem,
            str(each.clients),
            f"{each.rate:.1f}",
            f"{each.cores['mlflow']:.1f}",
            f"{each.cores['postgres']:.1f}",
        ]
        for problem, several in ceiling.items()
        for each in several
    ]
    return (
        "### The server\n\nProcesses that log the same trial as fast as they can, all on this "
        "machine; nothing is trained or committed meanwhile.\n\n"
        + table(["trial of", "clients", "trials/s", "core ms of MLflow", "of PostgreSQL"], rows)
    )


def simulation(
    trained: Mapping[str, Trained],
    served: Mapping[str, Recorded],
    ceiling: Mapping[str, Sequence[Written]],
) -> str:
    rows, limits = [], []
    for problem, driver in served.items():
        stacks, most = trained[problem].stacks, max(ceiling[problem], key=lambda each: each.rate)
        first = ceiling[problem][0]
        commit = [driver.milliseconds(OPTUNA) / 1000]
        unlimited = max(WORKERS)
        variants = [
            ("the driver", driver.each, None),
            ("workers, this server", commit, Server(most.clients, most.clients / most.rate)),
            ("workers, no limit there", commit, Server(unlimited, 1 / first.rate)),
        ]
        for title, costs, server in variants:
            simulated = [simulate(n, stacks, costs, server) for n in WORKERS]
            rows.append(
                [problem, title, *(f"{100 * s.busy:.0f} % · {s.rate:.0f}" for s in simulated)]
            )
        seconds = statistics.mean(each.seconds for each in stacks)
        each = seconds / stacks[0].trials
        limits.append(
            f"{problem}: a stack of {stacks[0].trials} trials takes {seconds:.1f} s of a worker, "
            f"{1000 * each:.0f} ms a trial, so that the driver's {driver.rate:.1f} trials/s are "
            f"reached by {each * driver.rate:.1f} workers, the server's {most.rate:.1f} by "
            f"{each * most.rate:.1f}, the {1000 / driver.computing:.0f} that the driver's core "
            f"time allows by {1000 * each / driver.computing:.0f}, and the {1 / commit[0]:.0f} "
            f"commits a second of one Optuna storage by {each / commit[0]:.0f}"
        )
    return (
        f"### Simulated clusters\n\n{STACKS_EACH} stacks for every worker. Times of stacks are "
        "drawn from those that Dask trained above (times what is missing of their epochs), "
        "recording times from the trials of the launches through the services. Share of the "
        "workers' time that is training · trials/s in all:\n\n"
        + table(["study", "runs written by", *(f"{n:,} workers" for n in WORKERS)], rows)
        + "\n\nWhere it saturates:\n\n"
        + "\n".join(f"* {each}." for each in limits)
        + "\n\n"
        + _PLAN
    )


_PLAN = """The next bottlenecks, and what to do about each:

1. The driver waits. A trial's run depends on no other, only the commit does: several threads of the
   driver can write runs while one commits in order, up to what the server or the driver's own core
   time allows. The first clients of the table above show what that gives.
2. The MLflow server. It needs several times the core time of PostgreSQL, so that its processes can
   be multiplied, on several machines, over one database; each with uvloop, without which asyncio
   keeps the body of an answer until the client acknowledges its head, 40 ms.
3. The driver's own core time. The workers can write the runs of the trials that they trained:
   picture, curves and file, before they hand the stack back; the driver is left with the commit.
   Last, because workers then need MLflow and its password, and neither is theirs today. The
   experiment and the data sets must be there before there are several writers: MLflow refuses the
   second of two that make the same one at once.
4. The commit, which waits for PostgreSQL's disk several times a trial: a stack's trials in one
   transaction."""
