"""Studies with folds: every configuration is judged on all examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blank_figures import painted
from small_study import small_study, write_study

from core.datasets.study_data import StudyData
from core.trainer import softmax
from core.trainer.stack import train
from search.commands.compare import compare
from search.commands.launch import run_study
from search.commands.launch_report import LaunchReport
from search.commands.retrain import retrain
from search.commands.session import results_of
from search.commands.study_data import load_data
from search.console import Console
from search.errors import LockstepError
from search.findings.scores import validation_scores
from search.settings import Settings
from search.spec.study_file import load
from search.spec.study_spec import StudySpec
from search.tracking.store import load_tracker

KEYS = {"data.folds": 5, "data.validation_fraction": None, "data.classes": None}
QUIET = Console(as_json=True)


class Launched:
    """A study of iris in five folds, launched."""

    def __init__(self, folder: Path) -> None:
        text = small_study(
            KEYS,
            source="iris",
            bias=True,
            momentum=0.9,
            schedule="cosine",
            penalty="squared",
            batch_size=[16],
        )
        self.spec: StudySpec = load(write_study(folder, text))
        self.settings = Settings(home=folder / "runs", workers=1)
        self.data: StudyData = load_data(self.spec, self.settings, print)
        self.report: LaunchReport = run_study(self.spec, self.data, self.settings, QUIET)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    with painted():
        return Launched(tmp_path_factory.mktemp("folds"))


def test_each_fold_is_scaled_by_what_it_is_trained_on(launched: Launched) -> None:
    data = launched.data
    assert sum(len(held) for _, held in data.first.folds) == len(data.train) == 120
    for kept, held in data.first.folds:
        assert len(kept) + len(held) == 120
        np.testing.assert_allclose(kept.X.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(kept.X.std(axis=0), 1, atol=1e-6)
    together = np.concatenate([held.X for _, held in data.first.folds])
    np.testing.assert_array_equal(data.validation.X, together)


def test_a_trial_is_scored_on_what_its_folds_held_out(launched: Launched) -> None:
    """Each fold is trained alone here, and its examples scored; all together are the score."""
    spec = launched.spec
    for trial in launched.report.trials[::3]:
        losses, hits = [], []
        for kept, held in launched.data.first.folds:
            (result,) = train(
                spec.model.training_data(kept, held),
                [trial.hyperparameters],
                penalty=spec.model.penalty,
                epochs=spec.model.epochs,
                seed=spec.model.seed,
            )
            Z = softmax.logits(held.X, result.weights, result.bias)
            losses.append(softmax.cross_entropies(Z, held.y))
            hits.append(softmax.predictions(Z) == held.y)
        assert trial.val_loss == pytest.approx(np.concatenate(losses).mean(), rel=1e-4)
        assert trial.val_accuracy == pytest.approx(np.concatenate(hits).mean(), abs=1e-9)


def test_scores_of_single_examples_have_the_score_as_mean(launched: Launched) -> None:
    spec, trials = launched.spec, launched.report.trials
    tracker = load_tracker(spec, launched.settings, "test")
    scores = validation_scores(trials, results_of(tracker), launched.data, spec.model)
    assert scores.losses.shape == (len(trials), 120)
    for trial, losses, errors in zip(trials, scores.losses, scores.errors, strict=True):
        assert losses.mean() == pytest.approx(trial.val_loss, rel=1e-4)
        assert 1 - errors.mean() == pytest.approx(trial.val_accuracy, abs=1e-9)


def test_compare_and_retrain(launched: Launched) -> None:
    spec, settings = launched.spec, launched.settings
    comparison = compare(spec, settings, QUIET)
    assert comparison.choice.examples == 120
    report = retrain(spec, settings, QUIET, seeds=0)
    assert len(report.chosen.correct) == 30
    assert report.chosen.test_accuracy > 0.85
    assert report.model is not None


def test_a_study_goes_on_with_its_folds(launched: Launched) -> None:
    again = run_study(launched.spec, launched.data, launched.settings, QUIET)
    assert again.trials == launched.report.trials


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"data.folds": 1}, "greater than or equal to 2"),
        ({"data.validation_fraction": 0.2}, "folds = 5: every example is held out once"),
    ],
)
def test_mistakes(tmp_path: Path, keys: dict[str, object], told: str) -> None:
    path = write_study(tmp_path, small_study(KEYS | keys, source="iris"))
    with pytest.raises(LockstepError, match=told):
        load(path)


def test_more_folds_than_examples_of_a_class(tmp_path: Path) -> None:
    spec = load(write_study(tmp_path, small_study(KEYS | {"data.folds": 41}, source="iris")))
    with pytest.raises(LockstepError, match="fewer than the 41 folds"):
        load_data(spec, Settings(home=tmp_path), print)


def test_a_batch_larger_than_what_a_fold_is_trained_on(tmp_path: Path) -> None:
    spec = load(write_study(tmp_path, small_study(KEYS, source="iris", batch_size=[97])))
    with pytest.raises(LockstepError, match="larger than the training split of 96 rows"):
        load_data(spec, Settings(home=tmp_path), print)
