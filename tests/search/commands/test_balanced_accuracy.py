"""Studies of classes of unlike size: the objective balanced accuracy, and class weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blank_figures import painted
from sklearn.metrics import balanced_accuracy_score, log_loss
from small_study import small_study, write_study

from core.datasets.study_data import StudyData
from core.trainer import softmax
from core.trainer.result import Hyperparameters
from search.commands.compare import compare
from search.commands.launch import run_study
from search.commands.retrain import retrain
from search.commands.session import results_of
from search.commands.study_data import load_data
from search.console import Console
from search.findings.scores import validation_scores
from search.findings.sentences import note
from search.settings import Settings
from search.spec.objective import Objective
from search.spec.study_file import load
from search.spec.study_spec import StudySpec
from search.tracking.store import load_tracker
from search.trials.finished_trial import FinishedTrial

QUIET = Console(as_json=True)
PARTS = {"one part": {}, "folds": {"data.folds": 3, "data.validation_fraction": None}}


class Unlike:
    """A launched study of three classes with 120, 60 and 20 examples, which overlap."""

    def __init__(self, folder: Path, keys: dict[str, object]) -> None:
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1, 2], [120, 60, 20])
        X = rng.normal(size=(200, 4)) + 1.2 * np.eye(4)[y]
        np.savez(folder / "unlike.npz", X=X, y=y)
        objective = "val_balanced_accuracy"
        text = small_study(
            {"data.classes": None, **keys}, source="unlike.npz", bias=True, objective=objective,
            batch_size=[16],
        )  # fmt: skip
        self.spec: StudySpec = load(write_study(folder, text))
        self.settings = Settings(home=folder / "runs", workers=1)
        self.data: StudyData = load_data(self.spec, self.settings, print)
        self.trials: list[FinishedTrial] = run_study(
            self.spec, self.data, self.settings, QUIET
        ).trials

    def predictions(self, trial: FinishedTrial) -> np.ndarray:
        """The classes of the validation examples, in the order of the folds if there are any."""
        tracker = load_tracker(self.spec, self.settings, "test")
        result = results_of(tracker).get(trial)
        assert result is not None
        logits = [
            softmax.logits(held.X, W, b)
            for (_, held), (W, b) in zip(self.data.first.folds, result.by_fold, strict=True)
        ]
        return softmax.predictions(np.concatenate(logits))


@pytest.fixture(scope="module", params=PARTS.values(), ids=PARTS)
def unlike(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Unlike:
    with painted():
        return Unlike(tmp_path_factory.mktemp("unlike"), request.param)


def test_the_score_is_scikit_learns(unlike: Unlike) -> None:
    for trial in unlike.trials[::3]:
        expected = balanced_accuracy_score(unlike.data.validation.y, unlike.predictions(trial))
        assert trial.val_balanced_accuracy == pytest.approx(expected, abs=1e-6)


def test_the_best_is_that_of_the_best_balanced_accuracy(unlike: Unlike) -> None:
    comparison = compare(unlike.spec, unlike.settings, QUIET)
    best = comparison.choice.best.trial
    assert best.val_balanced_accuracy == max(each.val_balanced_accuracy for each in unlike.trials)
    sentences = "\n".join(note(unlike.spec, unlike.trials, comparison.choice))
    assert f"balanced {100 * best.val_balanced_accuracy:.2f} %" in sentences
    assert "paired t tests" in sentences
    assert "expect a balanced accuracy of" in sentences


def test_scores_of_single_examples_have_the_badness_as_mean(unlike: Unlike) -> None:
    spec, objective = unlike.spec, Objective.BALANCED_ACCURACY
    tracker = load_tracker(spec, unlike.settings, "test")
    scores = validation_scores(unlike.trials, results_of(tracker), unlike.data, spec.model)
    for trial, each in zip(unlike.trials, scores.of(objective), strict=True):
        assert each.mean() == pytest.approx(trial.badness(objective), abs=1e-5)


def test_a_retrained_model_is_succeeded_by_its_like(unlike: Unlike) -> None:
    first, second = (retrain(unlike.spec, unlike.settings, QUIET, seeds=0) for _ in range(2))
    assert first.model is not None
    assert second.model is not None
    assert second.model.is_champion
    assert "val balanced accuracy" in second.model.reason


def test_class_weights_weigh_the_loss(tmp_path: Path) -> None:
    unlike = Unlike(tmp_path, {"model.class_weight": "balanced", "search.objective": "val_loss"})
    spec, data = unlike.spec, unlike.data
    weights = softmax.balanced_class_weights(data.train.y, 3)[data.validation.y]
    tracker = load_tracker(spec, unlike.settings, "test")
    results = results_of(tracker)
    scores = validation_scores(unlike.trials, results, data, spec.model)
    for trial, losses in zip(unlike.trials[::3], scores.losses[::3], strict=True):
        result = results.get(trial)
        assert result is not None
        Z = softmax.logits(data.validation.X.astype(np.float64), *result.by_fold[0])
        P = softmax.probabilities(Z)
        expected = log_loss(data.validation.y, P, sample_weight=weights)
        assert trial.val_loss == pytest.approx(expected, rel=1e-4)
        assert losses.mean() == pytest.approx(expected, rel=1e-4)
        assert type(trial.hyperparameters) is Hyperparameters
