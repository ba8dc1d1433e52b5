"""Examples that workers share: mapped from their file or from memory; or sent to them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from forked import standing_by
from strategies import make_problem
from watching import Watching

from core.datasets.dataset import Dataset
from core.datasets.file_rows import FileRows
from core.datasets.loaded import Loaded
from core.datasets.npz import map_npy
from core.datasets.scaling import Scale
from core.datasets.splits import prepare
from core.datasets.survey import surveyed
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.errors import LockstepError
from search.settings import Settings
from search.training import dask_executor, executor
from search.training.choose import open_executor
from search.training.dask_cluster import connected
from search.training.dask_executor import DaskExecutor
from search.training.executor import Examples, StackJob, run_job
from search.training.processes import processes
from search.training.shared_folds import SharedFolds, received

no_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="Dask is not installed: lockstep[cluster]",
)
LARGE = 2000  # rows

pytestmark = pytest.mark.xdist_group("processes")  # so that one process has others stand by


@pytest.fixture(scope="module", autouse=True)
def _warm() -> Iterator[None]:
    """Fork the workers from this process, which has imported all that they need."""
    with contextlib.suppress(ModuleNotFoundError):  # it is optional
        importlib.import_module("distributed.nanny")
    with standing_by(8):
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    y = np.arange(LARGE) % 3
    np.save(tmp_path / "X.npy", (rng.normal(size=(LARGE, 8)) + y[:, None]).astype(np.float16))
    return tmp_path / "X.npy"


@pytest.fixture
def data(path: Path) -> TrainingData:
    rows = map_npy(path, always=True)
    assert rows is not None
    whole = Dataset.of(rows, np.arange(LARGE) % 3, ("a", "b", "c"))
    parts = surveyed(prepare(Loaded(whole), validation_fraction=0.2, seed=0), lambda _: None)
    scaled = parts.scaled(Scale.STANDARD)
    return TrainingData.of(scaled.train, scaled.validation, bias=True)


def jobs(folds: int = 1) -> list[StackJob]:
    trials = tuple(Hyperparameters(rate, 1e-3, 32, bias=True) for rate in (0.01, 0.1))
    return [StackJob(Stack(trials, Penalty.NORM, seed), 2, seed % folds) for seed in range(4)]


@pytest.fixture(params=[1 << 28, 0], ids=["few", "many"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes a process reads into its memory; more stay in the file."""
    monkeypatch.setattr(executor, "HELD_BYTES", request.param)
    size: int = request.param
    return size


def check(stacks: list[Stack], data: TrainingData) -> None:
    examples = Examples([data])
    for stack, each in zip(stacks, jobs(), strict=True):
        expected = run_job(examples, each)
        np.testing.assert_array_equal(stack.weights, expected.weights)
        np.testing.assert_array_equal(stack.curves, expected.curves)


def test_processes_map_the_file(data: TrainingData, held: int) -> None:
    assert isinstance(data.X, FileRows)
    with processes([data], 2) as pool:
        check(list(pool.run(jobs(), Watching())), data)


@no_dask
def test_workers_of_a_cluster_map_the_file(data: TrainingData) -> None:
    with open_executor([data], Settings(cluster="local", workers=2), print) as pool:
        check(list(pool.run(jobs(), Watching())), data)


@no_dask
def test_workers_that_do_not_see_the_file_are_sent_its_rows(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "sees", blind)
    with connected(Settings(cluster="local", workers=1), print) as client:
        pool = DaskExecutor([data], client, "local")
        check(list(pool.run(jobs(), Watching())), data)
        monkeypatch.setattr(dask_executor, "SENT_BYTES", 100)
        another = DaskExecutor([data], client, "local")
        with pytest.raises(
            LockstepError, match=r"does not see .*X\.npy .* put the files where all"
        ):
            list(another.run(jobs(), Watching()))


def blind(files: list[object]) -> list[bool]:
    return [False] * len(files)


def test_arrays_in_memory_are_shared() -> None:
    """One copy for all processes: what a process gets is mapped, and cannot be written to."""
    data = make_problem(3).data
    assert isinstance(data.X, np.ndarray)
    shared = SharedFolds.of([data, replace(data, y=data.y[::-1].copy())])
    ours, theirs = Pipe()
    shared.send(ours, os.getpid())
    (first, second) = received(theirs)
    shared.close()
    assert isinstance(first.X, np.ndarray)
    np.testing.assert_array_equal(first.X, data.X)
    np.testing.assert_array_equal(second.y, data.y[::-1])
    assert not first.X.flags.writeable
    assert not first.X.flags.owndata
    assert first.X.ctypes.data % 64 == 0
    kind = Path("/proc/self/maps")
    if kind.exists() and hasattr(os, "memfd_create"):
        assert "memfd:lockstep" in kind.read_text()


def test_examples_are_read_once_for_jobs_in_a_row(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    in_memory = TrainingData.in_memory

    def counted(self: TrainingData) -> TrainingData:
        reads.append(1)
        return in_memory(self)

    monkeypatch.setattr(TrainingData, "in_memory", counted)
    examples = Examples([data, data])
    for fold in (0, 0, 1, 1, 0):
        assert isinstance(examples.of(fold).X, np.ndarray)
    assert len(reads) == 3
