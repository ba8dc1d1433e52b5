"""Settings and fixtures that every test shares."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import blank_figures
import pytest
import ready_store
import warm
from hypothesis import settings
from threadpoolctl import threadpool_limits

from core.datasets.mnist import DATA_DIR_VARIABLE
from search.garbage import collect_seldom

# The same examples on every run, and no deadline, since a busy machine is not a failure.
settings.register_profile("lockstep", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("lockstep")

# A suite in the background inherits that Ctrl-C, or the end of its terminal, is ignored; what it
# tests shall not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What pytest makes of the test files is kept, also where the environment says that nobody shall
# keep what is compiled: making it takes each process as long as all its imports.
sys.dont_write_bytecode = False

ready_store.use()
blank_figures.use()


def pytest_configure(config: pytest.Config) -> None:
    """Provide what all processes of the tests share, before the others are started."""
    if not hasattr(config, "workerinput"):
        config.add_cleanup(ready_store.provided())
        config.add_cleanup(warm.provided())


# What takes longest is begun first, so that no process is left with it when the others have ended.
# Groups, files and tests; a group is run by one process.
_LONGEST = (
    "@services", "@kills", "@kills_haswell", "test_environment.py", "@mlflow_store", "@browser",
    "test_kernels.py", "test_processes.py", "@pruned_launch", "@retrain", "@postgres",
    "test_the_output_shown_is_what_is_printed", "@launch", "@disk", "@moved_home", "@streams",
)  # fmt: skip


def _begin(item: pytest.Item) -> int:
    """The place in `_LONGEST` of a test, or one behind all of them."""
    group = item.get_closest_marker("xdist_group")
    name = f"{item.nodeid}@{group.args[0] if group else ''}"
    places = [
        place
        for place, each in enumerate(_LONGEST)
        if (name.endswith(each) if each.startswith("@") else each in name)
    ]
    return min(places, default=len(_LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage among what stays: modules and tests, now and while the tests run.

    It is looked for as seldom as in a command.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        collect_seldom()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_begin)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Leave to no other test the variables that a command sets in the process of this one."""
    before = dict(os.environ)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(autouse=True, scope="module")
def _one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread in this process: the cores are busy with other tests, and threads
    that wait for each other take a quarter of the time of all that is computed here."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def painted() -> Iterator[None]:
    """Paint figures while a module's tests run, since they look at them."""
    with blank_figures.painted():
        yield


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder that holds MNIST's four IDX files."""
    places = [Path(__file__).parents[2] / "shared" / "data" / "mnist"]
    if variable := os.environ.get(DATA_DIR_VARIABLE):
        places = [Path(variable) / "mnist", Path(variable), *places]
    stems = ("train-images", "train-labels", "t10k-images", "t10k-labels")
    for place in places:
        if all(any(place.glob(f"{stem}*-ubyte*")) for stem in stems):
            return place
    pytest.skip(f"MNIST's IDX files are not at hand: name their folder with {DATA_DIR_VARIABLE}")
