"""Who a study is, so that its runs in MLflow can be told from those of others."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a study, and the runs to which its storage refers.

    study_id: written into Optuna's storage once, when the study is made, and into all that the
        study has in MLflow; None for a study of an earlier version until a driver opens it.
    trials: the run ids of the recorded trials, by trial number.
    retrains: the run ids of the uses of the test set.
    """

    study_id: str | None
    trials: Mapping[int, str] = field(default_factory=dict)
    retrains: frozenset[str] = frozenset()

    @property
    def runs(self) -> frozenset[str]:
        """The ids of all runs to which the study's storage refers."""
        return self.retrains.union(self.trials.values())


def new_id() -> str:
    """Return an identity that no other study has."""
    return uuid.uuid4().hex
