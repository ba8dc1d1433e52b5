from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing import util
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from command import HUNG
from forked import STARTED_COLD, standing_by
from process_groups import alive_in_group, wait_until, workers_in_group, workers_of
from spawned import REPOSITORY, environment
from strategies import make_problem
from watching import Watching

from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack, train
from core.trainer.training_data import TrainingData
from search.child_pool import MAX_RESTARTS
from search.errors import LockstepError
from search.settings import Settings
from search.training.choose import open_executor
from search.training.executor import (
    POLL_SECONDS,
    ROOM,
    Examples,
    Executor,
    StackJob,
    may_start,
    run_job,
    weight_bytes,
)
from search.training.in_process import InProcess
from search.training.processes import processes
from search.training.shared_folds import SharedFolds
from search.training.worker import Worker, counters

WORKERS = 2
WARM = 32  # processes that the pools of these tests start, at the most, with those after kills

# So that there is one pool of each kind, and the processes that stand by are there once.
pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def warm() -> Iterator[None]:
    """Fork the workers from this process, which has imported all that they need."""
    with contextlib.suppress(ModuleNotFoundError):  # it is optional
        importlib.import_module("distributed.nanny")
        importlib.import_module("search.training.dask_executor")
    with standing_by(WARM):
        yield


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the workers as ever, so that they import."""
    monkeypatch.setattr(util, "spawnv_passfds", STARTED_COLD)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return make_problem(3).data


OpenPool = Callable[[TrainingData, int], contextlib.AbstractContextManager[Executor]]


def in_processes(data: TrainingData, workers: int) -> contextlib.AbstractContextManager[Executor]:
    return processes([data], workers)


def on_dask(data: TrainingData, workers: int) -> contextlib.AbstractContextManager[Executor]:
    settings = Settings(cluster="local", workers=workers)
    return open_executor([data], settings, lambda text: None)


no_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="Dask is not installed: lockstep[cluster]",
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(in_processes, id="processes"),
        pytest.param(on_dask, id="dask", marks=no_dask),
    ],
)
def open_pool(request: pytest.FixtureRequest, warm: None) -> OpenPool:
    """What starts a pool of so many workers: every executor keeps the same promises."""
    opened: OpenPool = request.param
    return opened


@pytest.fixture(scope="module")
def pool(data: TrainingData, open_pool: OpenPool) -> Iterator[Executor]:
    """For tests that leave it as it was. Whichever of its workers they kill, none is left."""
    before = workers()
    with open_pool(data, WORKERS) as executor:
        yield executor
    assert workers() == before


def job(size: int, epochs: int, batch_size: int = 8, seed: int = 0) -> StackJob:
    trials = tuple(
        Hyperparameters(0.01 * (n + 1 + seed), 1e-4 * n, batch_size) for n in range(size)
    )
    return StackJob(Stack(trials, Penalty.NORM, seed), epochs)


def small_jobs() -> list[StackJob]:
    """More than there are workers, the first one by far the longest, one of them diverging."""
    trials = (Hyperparameters(0.5, 200.0, 8), Hyperparameters(0.1, 0.0, 8))
    diverging = StackJob(Stack(trials, Penalty.SQUARED, 1), 30)
    return [job(9, 300), job(5, 20, 16, 1), diverging, job(1, 3, 4, 2), job(2, 10, 83)]


def work(jobs: Sequence[StackJob]) -> int:
    return sum(len(each.stack.trials) * each.epochs for each in jobs)


def assert_same(first: Sequence[Stack], second: Sequence[Stack]) -> None:
    """Bit for bit."""
    for a, b in zip(first, second, strict=True):
        assert (a.trials, a.epoch, a.stopped) == (b.trials, b.epoch, b.stopped)
        np.testing.assert_array_equal(a.weights, b.weights, strict=True)
        np.testing.assert_array_equal(a.curves, b.curves, strict=True)


def workers() -> set[int]:
    """Processes that a pool of this process started, from the kernel's own account."""
    return workers_of(os.getpid())


@pytest.fixture(scope="module")
def small_stacks(data: TrainingData) -> list[Stack]:
    """The small jobs, trained in this process."""
    return list(InProcess([data]).run(small_jobs(), Watching()))


def test_in_process_is_training(data: TrainingData, small_stacks: list[Stack]) -> None:
    jobs, stacks = small_jobs(), small_stacks
    assert_same(stacks, [run_job(Examples([data]), each) for each in jobs])
    alone = train(data, jobs[3].stack.trials, penalty=Penalty.NORM, epochs=3, seed=2)
    trained = stacks[3].results(data)
    np.testing.assert_allclose(trained[0].weights, alone[0].weights, rtol=1e-5)


def test_a_job_leaves_its_stack_as_it_is_and_goes_on_from_there(
    data: TrainingData, pool: Executor
) -> None:
    """So that a job that is lost can be run again, and a trained stack trained further."""
    whole = job(5, 7)
    for executor in (InProcess([data]), pool):
        (half,) = executor.run([StackJob(whole.stack, 3)], Watching())
        again = [StackJob(half, 4)] * 2
        for rest in executor.run(again, Watching()):
            assert_same([rest], [run_job(Examples([data]), whole)])
        assert (half.epoch, whole.stack.epoch) == (3, 0)


def test_workers_give_the_same_bits_in_the_order_of_the_jobs(
    pool: Executor, small_stacks: list[Stack]
) -> None:
    jobs, expected = small_jobs(), small_stacks
    for order in (jobs, jobs[::-1]):
        results = list(pool.run(order, Watching()))
        assert_same(results, expected if order is jobs else expected[::-1])
    assert 0 < pool.training_seconds < 60


def test_no_jobs(data: TrainingData, pool: Executor) -> None:
    for executor in (InProcess([data]), pool):
        assert list(executor.run([], Watching())) == []


def test_in_process_ticks_every_epoch(data: TrainingData) -> None:
    jobs = [job(9, 30), job(5, 20, 16)]
    ticks: list[int] = []
    list(InProcess([data]).run(jobs, Watching(ticks.append)))
    assert sum(ticks) == work(jobs)


@pytest.mark.parametrize("turn", [1, -1], ids=["longest first", "longest last"])
def test_workers_tick_every_epoch(data: TrainingData, pool: Executor, turn: int) -> None:
    jobs = [job(9, 400), job(5, 200, 16), job(3, 50, 4)][::turn]
    ticks: list[int] = []
    started = time.monotonic()
    list(pool.run(jobs, Watching(ticks.append)))
    seconds = time.monotonic() - started
    assert min(ticks) >= 0
    assert len(ticks) >= seconds / POLL_SECONDS / 2 - 1
    assert sum(ticks) == work(jobs)


def test_a_failing_job_fails_alone(data: TrainingData, pool: Executor) -> None:
    """A batch that is too large is the caller's mistake; the pool lives on."""
    good = job(2, 3)
    for executor in (InProcess([data]), pool):
        with pytest.raises(ValueError, match="exceeds the 83 training rows"):
            list(executor.run([good, job(1, 1, 84)], Watching()))
        assert len(list(executor.run([good], Watching()))) == 1


def test_a_request_to_stop_ends_the_work_at_once(data: TrainingData, open_pool: OpenPool) -> None:
    endless = [job(3, 10**7)] * 4

    def asking() -> Watching:
        """Asks to stop when it hears for the sixth time."""
        heard: list[int] = []

        def hear(trained: int) -> None:
            heard.append(trained)
            watch.stop = len(heard) > 5

        watch = Watching(hear)
        return watch

    assert list(InProcess([data]).run(endless, asking())) == []
    before = workers()
    started = time.monotonic()
    with open_pool(data, 1) as executor:
        assert list(executor.run(endless, asking())) == []
    assert time.monotonic() - started < 60
    assert workers() == before


def test_nothing_is_yielded_after_a_request_to_stop(data: TrainingData, pool: Executor) -> None:
    for executor in (InProcess([data]), pool):
        watch = Watching()
        stacks = executor.run([job(1, 1), job(1, 2), job(1, 3)], watch)
        assert next(stacks).epoch == 1
        watch.stop = True
        assert list(stacks) == []


def test_leaving_the_block_stops_the_work(data: TrainingData, open_pool: OpenPool) -> None:
    """Work that would last for hours: on a busy machine too, whoever waits for it is found out."""
    endless = job(3, 10**7)
    before = workers()
    with open_pool(data, WORKERS) as executor:
        results = executor.run([job(1, 1), *[endless] * 4], Watching())
        assert next(results).epoch == 1
        assert len(workers() - before) == WORKERS
        started = time.monotonic()
    assert time.monotonic() - started < 60
    assert workers() == before


LONG_JOBS = [job(9, 300), job(4, 300, 16), job(6, 200, 4), job(2, 50, 8)]


@pytest.fixture(scope="module")
def trained(data: TrainingData) -> list[Stack]:
    return list(InProcess([data]).run(LONG_JOBS, Watching()))


def test_a_killed_worker_loses_nothing(
    data: TrainingData, pool: Executor, trained: list[Stack]
) -> None:
    """Killed while it trains, twice: the results are complete, in order, and the same bits."""
    killed = []

    def tick(trained: int) -> None:
        # One that was just killed may still be there.
        if trained and len(killed) < 2 and (victims := workers() - set(killed)):
            killed.append(min(victims))
            os.kill(killed[-1], signal.SIGKILL)

    results = list(pool.run(LONG_JOBS, Watching(tick)))
    assert len(set(killed)) == 2
    assert_same(results, trained)


def test_workers_killed_between_two_runs_are_replaced(pool: Executor) -> None:
    """All that there are: those of the pool."""
    first = list(pool.run([job(2, 3)] * 3, Watching()))
    victims = workers()
    assert 0 < len(victims) <= WORKERS
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    assert wait_until(lambda: not victims & workers())
    assert_same(list(pool.run([job(2, 3)] * 3, Watching())), first)
    gc.collect()  # an "Exception ignored in" of Python 3.13 would fail this test
    assert len(workers() - victims) > 0


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_terminals_signals_do_not_reach_workers(
    data: TrainingData, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """From the moment on that they are started: the driver alone decides when they end."""
    shared = SharedFolds.of([data])
    worker = Worker.start(shared, counters(1))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGHUP}
    try:
        pid = worker._process.pid
        assert pid is not None
        for _ in range(20):  # while it imports
            os.kill(pid, number)
            time.sleep(0.01)
        stack = worker.run(job(2, 3), 0)
        os.kill(pid, number)  # and later
        assert_same([stack], [worker.run(job(2, 3), 0)])
    finally:
        worker.close()
        shared.close()
    assert capfd.readouterr().err == ""


def test_work_that_kills_its_worker_every_time_is_given_up(
    data: TrainingData, open_pool: OpenPool
) -> None:
    before, killed = workers(), 0

    def tick(trained: int) -> None:
        nonlocal killed
        # Not while it starts: Dask does not replace every worker that is killed then.
        if trained and (victims := workers() - before):
            killed += 1
            os.kill(min(victims), signal.SIGKILL)

    with (
        open_pool(data, 1) as executor,
        pytest.raises(LockstepError, match="finished trials are kept"),
    ):
        list(executor.run([job(3, 100_000)], Watching(tick)))
    assert killed > MAX_RESTARTS


@pytest.mark.usefixtures("cold")
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_worker_without_memory(data: TrainingData) -> None:
    """Not killed, but told by the system that there is no more."""
    before = workers()
    wide = job(4000, 1)
    with processes([data], 1) as executor:
        list(executor.run([job(1, 1)], Watching()))
        (pid,) = workers() - before
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        size = pages * resource.getpagesize() + 2**20
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
        with pytest.raises(LockstepError, match="out of memory: use fewer --workers"):
            list(executor.run([wide] * 2, Watching()))


WITH_A_LOCK = """
import os, signal
from multiprocessing import synchronize
from pathlib import Path

FOLDER, COUNTS = Path(os.environ["FOLDER"]), (500, 501)
releases = 0
(FOLDER / "hooked").touch()

def release(lock, *args):
    global releases
    releases += 1
    if releases in COUNTS:
        try:
            (FOLDER / f"killed at {releases}").touch(exist_ok=False)
        except FileExistsError:
            pass  # once is enough
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return lock._semlock.__exit__(*args)

synchronize.SemLock.__exit__ = release
"""
SET_UP = """
import sys
sys.path[:0] = ["tests"]
import numpy as np
from core.datasets.dataset import Dataset
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.training.executor import StackJob
from search.training.processes import processes
from watching import Watching

rng = np.random.default_rng(0)
part = Dataset.of(rng.random((83, 23)), np.arange(83) % 2, ("a", "b"))
data = TrainingData.of(part, part)
stack = Stack((Hyperparameters(0.1, 0.0, 8),), Penalty.NORM, 0)
"""
LOCKED = f"""{SET_UP}
if __name__ == "__main__":
    jobs = [StackJob(stack, 700)] * 2
    with processes([data], 2) as executor:
        print(len(list(executor.run(jobs, Watching()))))
"""


def test_a_worker_killed_with_a_lock_in_its_hand(tmp_path: Path) -> None:
    """Nobody may wait for the dead. The moment is rare, so it is brought about, in either of two
    locks that are held in turn: a worker dies when it is about to release a lock that it shares
    with the driver, if it has any."""
    script = tmp_path / "locked.py"
    script.write_text(LOCKED)
    with started(script, WITH_A_LOCK, {"FOLDER": str(tmp_path)}) as driver:
        out, _ = driver.communicate(timeout=HUNG)
        assert out == "2\n"
    assert (tmp_path / "hooked").exists()


DRIVER = f"""{SET_UP}
if __name__ == "__main__":
    jobs = [StackJob(stack, 10_000_000)] * 4
    with processes([data], 2) as executor:
        for _ in executor.run(jobs, Watching(lambda trained: print(trained, flush=True))):
            pass
"""


@contextlib.contextmanager
def started(
    script: Path, in_workers: str = "", variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[str]]:
    """A script in a process group of its own, of which nothing stays. in_workers: code that its
    workers run first."""
    driver = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=REPOSITORY,
        env=environment(script.parent, in_workers) | variables,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        yield driver
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()


def test_no_worker_outlives_a_killed_driver(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    with started(script) as driver:
        assert driver.stdout is not None
        while int(driver.stdout.readline()) == 0:
            pass  # until a worker has trained an epoch
        assert len(workers_in_group(driver.pid)) == WORKERS
        driver.kill()
        driver.wait()
        gone = wait_until(lambda: not alive_in_group(driver.pid))
        assert gone, alive_in_group(driver.pid)


def test_training_seconds_are_those_of_the_last_run(data: TrainingData, pool: Executor) -> None:
    for executor in (InProcess([data]), pool):
        list(executor.run([job(9, 60)] * 2, Watching()))
        longer = executor.training_seconds
        list(executor.run([job(1, 1)], Watching()))
        assert 0 < executor.training_seconds < longer
        assert math.isfinite(longer)


def test_training_waits_for_a_slow_recorder(
    pool: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that finished stacks do not fill the memory, and in the same order."""
    monkeypatch.setattr("search.training.executor.ROOM", 0)
    jobs = [job(2, 3, seed=n) for n in range(12)]
    epochs = [0]
    watch = Watching(lambda trained: epochs.__setitem__(0, epochs[0] + trained))
    stacks = pool.run(jobs, watch)
    for released, expected in enumerate(jobs):
        stack = next(stacks)
        assert stack.trials == expected.stack.trials
        time.sleep(0.05)
        assert epochs[0] <= work(jobs[: released + WORKERS + 1])
    assert next(stacks, None) is None


def test_stacks_are_trained_ahead_while_there_is_room() -> None:
    room, size = ROOM, ROOM // 4
    assert may_start([size] * 10, 0, 2) == 4
    assert may_start([size] * 10, 3, 2) == 7
    assert may_start([room] * 10, 0, 2) == 3, "one is recorded while every worker trains"
    assert may_start([room] * 10, 9, 2) == 10
    assert may_start([1] * 10, 0, 2) == 10
    assert may_start([], 0, 2) == 0
    large = replace(job(3, 1, 8).stack, trials=(Hyperparameters(0.1, 0, 8, momentum=0.9),) * 3)
    problem = make_problem(3).data
    assert weight_bytes([problem], StackJob(large, 1)) == 2 * 4 * 3 * 2 * problem.n_features
