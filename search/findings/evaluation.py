"""A study's finished trials, ranked and scored on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from core.datasets.study_data import StudyData
from search.findings.choice import Choice, study_choice
from search.findings.scores import ValidationScores, validation_scores
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.layers import Layers
from search.trials.repeats import distinct
from search.trials.results import Results


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of a study's trials once they are scored on the validation split.

    finished: all finished trials. different: one of each configuration. ranking: the completed ones
        of these, best first.
    scores, choice: how they do on each example, and which is chosen; None if none is completed.
    results: where their weights and curves are read.
    """

    spec: StudySpec
    data: StudyData
    results: Results
    finished: Sequence[FinishedTrial]
    different: Sequence[FinishedTrial]
    ranking: Sequence[FinishedTrial]
    scores: ValidationScores | None
    choice: Choice | None

    @classmethod
    def of(
        cls,
        spec: StudySpec,
        finished: Sequence[FinishedTrial],
        results: Results,
        data: StudyData,
    ) -> Self:
        """Rank the trials, and score the completed ones.

        Raises LockstepError if there are completed ones, and no run of theirs has its weights.
        """
        different = distinct(finished, spec.search.objective)
        ranking = ranked(different, spec.search.objective)
        scores = validation_scores(ranking, results, data, spec.model) if ranking else None
        choice = None if scores is None else study_choice(spec, scores)
        return cls(spec, data, results, finished, different, ranking, scores, choice)

    @property
    def lost(self) -> set[int]:
        """The numbers of the trials whose runs have lost their weights and curves."""
        return {trial.number for trial in self.scores.missing} if self.scores else set()

    @property
    def with_curves(self) -> list[FinishedTrial]:
        """The completed trials that have their curves, best first."""
        lost = self.lost
        return [trial for trial in self.ranking if trial.number not in lost]

    @property
    def with_weights(self) -> list[FinishedTrial]:
        """The completed trials that have their weights, best first."""
        return self.scores.trials if self.scores else []

    @property
    def layers(self) -> Layers | None:
        """How the sets of features compare; None if there are fewer than two."""
        return self.choice.layers if self.choice else None
