"""The finals of a study: its best trials are trained again on fresh seeds to find the winner.

The best of many scores is too good, because it was chosen for being the best (the winner's curse).
The best trials are therefore trained again on seeds that did not influence any choice, and the
winner is the best of these fresh scores. Search and finals share the validation examples, so only
the test set tells how lucky the choice of these was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.trainer.result import Status
from search.spec.objective import Objective
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.outcome import Outcome, scores_at
from search.trials.repeats import distinct

FRESH = 3  # the least number of fresh seeds; if the search had more seeds, there are as many


@dataclass(frozen=True, slots=True)
class Finalist:
    """The means of a trial's scores over the fresh seeds, and their standard deviations.

    If it diverged under any seed, its accuracy is 0 and all other values are infinite.
    """

    trial: int
    val_loss: float
    val_accuracy: float
    val_loss_std: float
    val_accuracy_std: float
    val_balanced_accuracy: float | None = None

    def metrics(self) -> dict[str, float]:
        """Return the finite values as MLflow metrics."""
        values = _given(self)
        del values["trial"]
        return {f"fresh_{k}": value for k, value in values.items() if math.isfinite(value)}


@dataclass(frozen=True, slots=True)
class Finals:
    """The result of the finals.

    finalists: the best fresh score first, which is the winner's.
    seeds: the fresh seeds that they were trained with.
    """

    finalists: tuple[Finalist, ...]
    seeds: tuple[int, ...]

    @property
    def winner(self) -> Finalist:
        """The finalist with the best fresh score."""
        return self.finalists[0]

    def as_json(self) -> dict[str, Any]:
        """Return the finals as JSON values, with null for values that are infinite."""

        def plain(finalist: Finalist) -> dict[str, Any]:
            return {
                key: value if math.isfinite(value) else None
                for key, value in _given(finalist).items()
            }

        return {
            "winner": self.winner.trial,
            "seeds": list(self.seeds),
            "finalists": [plain(each) for each in self.finalists],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Finals:
        """Return the finals that `as_json` stored."""

        def finalist(fields: Mapping[str, Any]) -> Finalist:
            full: dict[str, Any] = {k: math.inf if v is None else v for k, v in fields.items()}
            return Finalist(**full)

        return cls(tuple(map(finalist, stored["finalists"])), tuple(stored["seeds"]))


def _given(finalist: Finalist) -> dict[str, float]:
    """Return the values of a finalist by name, without those that the study does not have."""
    return {key: value for key, value in asdict(finalist).items() if value is not None}


def fresh_seeds(spec: StudySpec) -> list[int]:
    """Return the seeds of the finals, which follow the seeds of the search."""
    first = spec.model.seed + spec.search.replicates
    return list(range(first, first + max(FRESH, spec.search.replicates)))


def due(
    spec: StudySpec, finished: Sequence[FinishedTrial], known: Finals | None
) -> list[FinishedTrial]:
    """Return the best finished trials, one of each configuration, which are still to be trained on
    fresh seeds.

    There are none if ``known`` has the same finalists.
    """
    objective, count = spec.search.objective, spec.search.finalists
    best = ranked(distinct(finished, objective), objective)[:count]
    if known is None:
        return best
    # What earlier versions judged stays: they took two trials of one configuration for two.
    accepted = (best, ranked(finished, objective)[:count])
    judged = {each.trial for each in known.finalists}
    return [] if any(judged == {each.number for each in some} for some in accepted) else best


def judged(
    finalists: Sequence[FinishedTrial],
    outcomes: Mapping[int, Outcome],
    objective: Objective,
    seeds: Sequence[int],
) -> Finals:
    """Return the finals of these trials; outcomes: those on the fresh seeds, by trial number."""
    found = [_judged(each.number, outcomes[each.number]) for each in finalists]
    found.sort(key=lambda each: (*objective.rank_key(each), each.trial))
    return Finals(tuple(found), tuple(seeds))


def _judged(number: int, outcome: Outcome) -> Finalist:
    """Return a trial as a finalist, with the scores of its outcome."""
    curves, spread = outcome.result.curves, outcome.spread
    if outcome.result.status is Status.DIVERGED or spread is None:
        balanced = None if curves.val_balanced_accuracy is None else 0.0
        return Finalist(number, math.inf, 0.0, math.inf, math.inf, balanced)
    last = scores_at(curves, len(curves))
    return Finalist(
        number,
        last.val_loss,
        last.val_accuracy,
        spread.val_loss_std,
        spread.val_accuracy_std,
        last.val_balanced_accuracy,
    )
