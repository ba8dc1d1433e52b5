"""The winner's curse, and what helps: the best of many scores is too good, because it was the
highest. The best trials are therefore trained again on seeds that nothing was chosen by, and the
winner is the best of these fresh scores. (They share the validation split with the search; what was
lucky about that only the test set tells.)"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.trainer.result import Status
from search.spec.objective import Objective
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.outcome import Outcome

FRESH = 3  # seeds at least, as many as the search had otherwise


@dataclass(frozen=True, slots=True)
class Finalist:
    """A trial's means over the fresh seeds, and their standard deviations; all infinite, or 0 of
    the accuracy, if it diverged under one."""

    trial: int
    val_loss: float
    val_accuracy: float
    val_loss_std: float
    val_accuracy_std: float

    def metrics(self) -> dict[str, float]:
        """For MLflow: what is finite."""
        values = asdict(self)
        del values["trial"]
        return {f"fresh_{k}": value for k, value in values.items() if math.isfinite(value)}


@dataclass(frozen=True, slots=True)
class Finals:
    """finalists: best fresh score first, the winner. seeds: that they were judged on."""

    finalists: tuple[Finalist, ...]
    seeds: tuple[int, ...]

    @property
    def winner(self) -> Finalist:
        return self.finalists[0]

    def as_json(self) -> dict[str, Any]:
        def plain(finalist: Finalist) -> dict[str, Any]:
            return {
                key: value if math.isfinite(value) else None
                for key, value in asdict(finalist).items()
            }

        return {
            "winner": self.winner.trial,
            "seeds": list(self.seeds),
            "finalists": [plain(each) for each in self.finalists],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Finals:
        def finalist(fields: Mapping[str, Any]) -> Finalist:
            full: dict[str, Any] = {k: math.inf if v is None else v for k, v in fields.items()}
            return Finalist(**full)

        return cls(tuple(map(finalist, stored["finalists"])), tuple(stored["seeds"]))


def fresh_seeds(spec: StudySpec) -> list[int]:
    """Those that follow the seeds of the search."""
    first = spec.model.seed + spec.search.replicates
    return list(range(first, first + max(FRESH, spec.search.replicates)))


def due(
    spec: StudySpec, finished: Sequence[FinishedTrial], known: Finals | None
) -> list[FinishedTrial]:
    """Of the finished trials the finalists that are still to be judged; none if those that are
    known are the same."""
    best = ranked(finished, spec.search.objective)[: spec.search.finalists]
    same = known is not None and {each.trial for each in known.finalists} == {
        each.number for each in best
    }
    return [] if same else best


def judged(
    finalists: Sequence[FinishedTrial],
    outcomes: Mapping[int, Outcome],
    objective: Objective,
    seeds: Sequence[int],
) -> Finals:
    found = [_judged(each.number, outcomes[each.number]) for each in finalists]
    found.sort(key=lambda each: (*objective.rank_key(each), each.trial))
    return Finals(tuple(found), tuple(seeds))


def _judged(number: int, outcome: Outcome) -> Finalist:
    curves, spread = outcome.result.curves, outcome.spread
    if outcome.result.status is Status.DIVERGED or spread is None:
        return Finalist(number, math.inf, 0.0, math.inf, math.inf)
    loss, accuracy = float(curves.val_loss[-1]), float(curves.val_accuracy[-1])
    return Finalist(number, loss, accuracy, spread.val_loss_std, spread.val_accuracy_std)
