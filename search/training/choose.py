"""The choice of an executor: this machine, or a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from search.redact import redacted
from search.settings import Settings
from search.training.dask_cluster import LOCAL, connected
from search.training.dask_executor import DaskExecutor
from search.training.executor import Executor, Folds
from search.training.processes import processes
from search.training.small_work import SmallWorkFirst
from search.wording import counted


@contextlib.contextmanager
def open_executor(
    folds: Folds, settings: Settings, say: Callable[[str], None]
) -> Iterator[Executor]:
    """Open the executor that the settings name. Raises LockstepError if it cannot be opened."""
    if settings.cluster is None:
        with processes(folds, settings.workers) as pool:
            yield SmallWorkFirst(folds, pool)
        return
    with connected(settings, say) as client:
        yield DaskExecutor(folds, client, settings.cluster)


def where_trained(settings: Settings) -> str:
    """Describe where stacks are trained."""
    processes = counted(settings.workers, "training process", "es")
    if settings.cluster is None:
        return f"up to {processes}"  # none for small work
    return (
        f"{processes} of Dask"
        if settings.cluster == LOCAL
        else f"Dask at {redacted(settings.cluster)}"
    )
