"""Nothing that another test of this process has set may reach what is called here."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _no_settings() -> Iterator[None]:
    """MLflow itself sets one of these variables for whoever names a store to it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith(("MLFLOW_", "LOCKSTEP_"))]:
            patch.delenv(name)
        yield
