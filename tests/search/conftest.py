"""A small study, tiny data and made-up results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from services import PASSWORD, Services, services

from core.datasets.dataset import Dataset
from core.datasets.splits import Splits
from core.trainer.result import Curves, Hyperparameters, Status, TrainingResult
from search.settings import Settings
from search.spec.study_file import load
from search.spec.study_spec import StudySpec

STUDY = """
name = "small"
description = "a small study"
[data]
source = "digits"
classes = [3, 6]
validation_fraction = 0.25
seed = 0
[model]
penalty = "norm"
epochs = 5
seed = 0
[space]
learning_rate = { low = 1e-3, high = 1.0, log = true, points = 4 }
weight_decay = { low = 0.0, high = 0.5, points = 3 }
batch_size = [16, 8]
[search]
sampler = "grid"
objective = "val_loss"
seed = 0
[baseline]
learning_rate = 0.001
weight_decay = 0.0001
batch_size = 16
"""

WriteStudy = Callable[..., Path]
MakeSpec = Callable[..., StudySpec]
MakeSplits = Callable[..., Splits]
MakeResult = Callable[..., TrainingResult]


def edited(*changes: tuple[str, str]) -> str:
    """The small study with the first text of each pair replaced by the second."""
    text = STUDY
    for old, new in changes:
        assert text.count(old) >= 1, f"the small study has no {old!r}"
        text = text.replace(old, new, 1)
    return text


@pytest.fixture(scope="session")
def write_study(tmp_path_factory: pytest.TempPathFactory) -> WriteStudy:
    """The small study as a file, after these replacements."""
    folder = tmp_path_factory.mktemp("studies")

    def write(*changes: tuple[str, str]) -> Path:
        path = folder / "small.toml"
        path.write_text(edited(*changes), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def make_spec(write_study: WriteStudy) -> MakeSpec:
    """The small study, after these replacements."""
    return lambda *changes: load(write_study(*changes))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "runs", workers=2)


@pytest.fixture(scope="session")
def make_splits() -> MakeSplits:
    """Noisy linear classes over 2 x 3 pixels: 60 rows to train on, 24 to validate, 12 to test."""

    def make(class_names: tuple[str, ...] = ("3", "6"), seed: int = 0) -> Splits:
        rng = np.random.default_rng((seed, len(class_names)))
        X = rng.random((96, 6))
        scores = X @ rng.normal(size=(6, len(class_names))) + 0.1 * rng.gumbel(
            size=(96, len(class_names))
        )
        y = scores.argmax(axis=1)
        everything = Dataset.of(X, y, class_names, (2, 3))
        train, validation, test = (
            everything.take(np.arange(*rows)) for rows in ((0, 60), (60, 84), (84, 96))
        )
        return Splits.of(train, validation, test)

    return make


@pytest.fixture(scope="session")
def splits(make_splits: MakeSplits) -> Splits:
    return make_splits()


@pytest.fixture(scope="session")
def make_result() -> MakeResult:
    """A made-up result; its numbers depend on the hyperparameters alone."""

    def make(
        tried: Hyperparameters,
        status: Status = Status.COMPLETED,
        epochs: int = 5,
        n_classes: int = 2,
    ) -> TrainingResult:
        distance = abs(math.log10(tried.learning_rate) + 1) + tried.weight_decay
        loss = 0.1 + distance + 1 / np.arange(1.0, epochs + 1)
        curves = Curves(loss, 1 / (1 + loss), loss + 0.01, 1 / (1.1 + loss))
        if status is Status.DIVERGED:
            for name in Curves.names():
                getattr(curves, name)[-1] = math.nan
            curves.train_loss[-1] = math.inf
        seed = [round(1e9 * tried.learning_rate), tried.batch_size]
        weights = np.random.default_rng(seed).normal(size=(6, n_classes)).astype(np.float32)
        return TrainingResult(tried, weights, curves, status, epochs)

    return make


@pytest.fixture(scope="module")
def postgres() -> Iterator[Services]:
    """A PostgreSQL server of the module's own; the password is in the environment."""
    with services() as started, pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGPASSWORD", PASSWORD)
        started.start("postgres")
        yield started
