"""Scores of many trials and classes are computed in blocks that fit in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
from small_study import small_spec

from core.datasets.dataset import Dataset
from core.datasets.splits import Splits
from core.datasets.study_data import ONLY, StudyData
from core.trainer.result import Curves, Hyperparameters, Status
from core.trainer.softmax import cross_entropies, logits
from search.findings import scores
from search.findings.scores import validation_scores
from search.trials.finished_trial import FinishedTrial
from search.trials.results import Result, Results

K, M, C, D = 24, 6_000, 400, 500


def made_data() -> StudyData:
    rng = np.random.default_rng(0)
    names = tuple(f"c{c}" for c in range(C))
    parts = [Dataset.of(rng.normal(size=(n, D)), np.arange(n) % C, names) for n in (2 * C, M, C)]
    return StudyData({ONLY: Splits.of(*parts)})


def read(trials: Sequence[FinishedTrial]) -> list[Result | None]:
    """Weights that depend on the trial's number; those of the last trials are not kept."""
    curves = Curves(*np.ones((4, 1)))
    found: list[Result | None] = []
    for trial in trials:
        rng = np.random.default_rng(trial.number)
        W = 0.1 * rng.standard_normal((D, C), dtype=np.float32)
        b = rng.standard_normal(C, dtype=np.float32)
        kept = trial.number < K - 4
        found.append(Result(W, b, curves) if kept else Result(None, None, curves))
    return found


def made_trials() -> list[FinishedTrial]:
    tried = Hyperparameters(0.1, 0.0, 16)
    return [
        FinishedTrial(n, tried, Status.COMPLETED, 1, 1, 1, 1, 1, 1, 1, f"run {n}") for n in range(K)
    ]


def test_they_take_little_more_memory_than_the_weights() -> None:
    data, trials, results = made_data(), made_trials(), Results(read)
    tracemalloc.start()
    found = validation_scores(trials, results, data, small_spec().model)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [trial.number for trial in found.not_kept] == list(range(K - 4, K))
    assert [trial.number for trial in found.trials] == list(range(K - 4))
    kept = 4 * (K - 4) * D * C  # which `Results` keeps in memory
    blocks = 4 * (2 * scores._WEIGHTS // 4 + 2 * scores._LOGITS)
    assert taken < kept + blocks + 5 * K * M
    everything = 4 * K * M * C
    assert taken < everything / 2, "all logits together"


def test_they_are_those_of_the_definition_whatever_the_blocks() -> None:
    data, trials, results = made_data(), made_trials()[:3], Results(read)
    found = validation_scores(trials, results, data, small_spec().model)
    validation = data.validation
    for k, result in enumerate(results.of(trials)):
        assert result is not None
        assert result.weights is not None
        Z = logits(validation.X, result.weights, result.bias)
        expected = cross_entropies(Z.astype(np.float64), validation.y)
        np.testing.assert_allclose(found.losses[k], expected, rtol=1e-4, atol=1e-4)
        assert (found.errors[k] != (Z.argmax(axis=1) != validation.y)).mean() < 1e-3
