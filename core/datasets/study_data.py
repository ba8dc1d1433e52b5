"""The examples of a study, as each of its sets of features shows them.

A linear probe often has several sets of features for the same examples: of several layers of one
network, of several networks, or pooled in several ways. All have the same labels and the same
division into train, validation and test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from core.datasets.dataset import Dataset
from core.datasets.scaling import Scale
from core.datasets.splits import Splits

ONLY = ""  # the name of the set of features if a study has only one


@dataclass(frozen=True, slots=True)
class StudyData:
    """The splits of a study's data for each set of features, by its name.

    by_features: never empty; the only one is named `ONLY` if the study has one source of data. The
        parts of all have the same examples in the same order.
    """

    by_features: Mapping[str, Splits]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sets of features, in the order of the study file."""
        return tuple(self.by_features)

    def of(self, features: str) -> Splits:
        """Return the splits of one set of features."""
        return self.by_features[features]

    @property
    def first(self) -> Splits:
        """The splits of the first set of features, for what all of them have in common."""
        return next(iter(self.by_features.values()))

    @property
    def train(self) -> Dataset:
        """The training part of the first set of features; its labels are those of all."""
        return self.first.train

    @property
    def validation(self) -> Dataset:
        """The validation part of the first set of features; its labels are those of all."""
        return self.first.validation

    @property
    def test(self) -> Dataset:
        """The test part of the first set of features; its labels are those of all."""
        return self.first.test

    @property
    def scale(self) -> Scale:
        """What is done to the features of all sets."""
        return self.first.scaling.scale

    @property
    def digests(self) -> Mapping[str, str]:
        """The digest of each set of features, by its name."""
        return {name: splits.digest for name, splits in self.by_features.items()}

    @property
    def digest(self) -> str:
        """The digest of all sets of features; see `combined_digest`."""
        return combined_digest(self.digests)


def combined_digest(digests: Mapping[str, str]) -> str:
    """Return the digest of sets of features with their names; that of the only one, if unnamed."""
    if tuple(digests) == (ONLY,):
        return digests[ONLY]
    named = "\n".join(f"{name} {digest}" for name, digest in digests.items())
    return hashlib.sha256(named.encode()).hexdigest()
