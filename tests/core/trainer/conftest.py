"""One thread for BLAS, as the trainer's processes have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="module")
def one_blas_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield
