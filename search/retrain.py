"""Retrain the best configuration on train + validation, and judge it on the test set, once."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from core.data import Dataset, Splits, concatenate
from core.result import Hyperparameters, Status, TrainingResult
from core.selection import Interval, McNemar, mcnemar, wilson_interval
from core.softmax import logits, predictions
from core.stack import Stack, tile_trials
from core.training_data import TrainingData
from search import figures, images, links
from search.console import Console, table
from search.errors import LockstepError, NothingToShowError
from search.finalists import winner
from search.finished_trial import FinishedTrial, ranked
from search.settings import Settings
from search.spec import StudySpec
from search.study import SearchStudy, open_study
from search.study_data import load_data
from search.study_storage import check_launched
from search.tracking import TEMPLATES, Artifact, Tracker
from search.tracking_model import register_model
from search.tracking_store import load_tracker

Labels = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Fit:
    """One configuration, trained on train + validation."""

    result: TrainingResult
    iterations: npt.NDArray[np.float64]  # (2, iterations): loss and accuracy of each batch
    predicted: Labels  # on the test set
    correct: npt.NDArray[np.bool_]

    @property
    def errors(self) -> int:
        return int((~self.correct).sum())

    @property
    def test_accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def train_accuracy(self) -> float:
        """Over the last epoch, before each update."""
        return float(self.result.curves.train_accuracy[-1])

    @property
    def interval(self) -> Interval:
        """95 %, Wilson."""
        return wilson_interval(int(self.correct.sum()), len(self.correct))


@dataclass(frozen=True, slots=True)
class RetrainReport:
    """What retrain found; baseline and comparison are None where the study names no baseline."""

    study: str
    trial: int
    chosen: Fit
    baseline: Fit | None
    comparison: McNemar | None
    earlier_uses: int
    model_uri: str
    run_url: str

    def as_json(self) -> dict[str, Any]:
        chosen, baseline = self.chosen, self.baseline
        return {
            "study": self.study,
            "trial": self.trial,
            "test_accuracy": chosen.test_accuracy,
            "test_errors": chosen.errors,
            "test_size": len(chosen.correct),
            "interval": list(chosen.interval),
            "train_accuracy": chosen.train_accuracy,
            "baseline": baseline
            and {"test_accuracy": baseline.test_accuracy, "test_errors": baseline.errors},
            "mcnemar_p": self.comparison and self.comparison.p_value,
            "earlier_test_evaluations": self.earlier_uses,
            "model_uri": self.model_uri,
        }


def retrain(
    spec: StudySpec, settings: Settings, console: Console, number: int | None = None
) -> RetrainReport:
    """number: the trial to be retrained, None for the winner of the finalists, else for the best.

    Raises NothingToShowError when there is no such completed trial, LockstepError and DataError.
    """
    check_launched(spec.name, settings)
    data = load_data(spec, settings, console.say)
    with open_study(spec, settings, data.digest) as study:
        trial = _choose(study, number)
        tracker = load_tracker(spec, settings, "lockstep retrain")
        everything = concatenate(data.train, data.validation)
        console.say(
            f"Training trial #{trial.number} of {spec.name} on {len(everything):,} examples "
            f"(train + validation), {spec.model.epochs} epochs …"
        )
        chosen = _fit(spec, trial.hyperparameters, everything, data.test)
        baseline = None
        if spec.baseline is not None:
            tried = spec.baseline.hyperparameters()
            same = tried == trial.hyperparameters
            baseline = chosen if same else _fit(spec, tried, everything, data.test)
        comparison = None if baseline is None else _compared(chosen, baseline)
        earlier = study.test_evaluations()
        tags = {"lockstep.retrained_trial": str(trial.number)}
        with tracker.run(f"retrain #{trial.number}", "retrain", tags) as run_id:
            _record_test_use(study, tracker, run_id, trial, chosen, len(earlier))
            _log(tracker, run_id, spec, data, chosen, baseline, comparison)
            model = register_model(tracker, run_id, spec.name, chosen.result.weights, data.test)
        return RetrainReport(
            study=spec.name,
            trial=trial.number,
            chosen=chosen,
            baseline=baseline,
            comparison=comparison,
            earlier_uses=len(earlier),
            model_uri=model.uri,
            run_url=links.run_url(settings.ui_address, tracker.experiment_id, run_id),
        )


def _choose(study: SearchStudy, number: int | None) -> FinishedTrial:
    spec = study.spec
    ranking = ranked(study.finished(), spec.search.objective)
    if not ranking:
        raise NothingToShowError(
            f"study {spec.name} has no completed trial yet: run `lockstep launch {spec.name}`"
        )
    if number is None:
        finals = winner(study)
        number = finals.winner.trial if finals else ranking[0].number
    for trial in ranking:
        if trial.number == number:
            return trial
    raise LockstepError(
        f"--trial {number}: study {spec.name} has no completed trial of that number; the best is "
        f"{ranking[0].number}"
    )


def _compared(first: Fit, second: Fit) -> McNemar:
    return mcnemar(
        int((first.correct & ~second.correct).sum()),
        int((~first.correct & second.correct).sum()),
    )


def _fit(spec: StudySpec, tried: Hyperparameters, train: Dataset, test: Dataset) -> Fit:
    """Train on all of ``train``; predict the test set with the weights of the last epoch."""
    data = TrainingData.of(train)
    stack = Stack(
        (tried,),
        spec.model.penalty,
        spec.model.seed,
        tile_trials(1, data.n_classes),
        record_steps=True,
    )
    with threadpool_limits(1):
        stack.advance(data, spec.model.epochs)
        result = stack.results(data)[0]
        predicted = predictions(logits(test.X, result.weights))
    if result.status is Status.DIVERGED:
        raise LockstepError(
            f"the configuration diverged in epoch {result.stopped_epoch} on train + validation: "
            "choose another one with --trial"
        )
    iterations = np.array(stack.steps)[:, :, 0].T
    return Fit(result, iterations, predicted, predicted == test.y)


def _record_test_use(
    study: SearchStudy, tracker: Tracker, run_id: str, trial: FinishedTrial, chosen: Fit, uses: int
) -> None:
    """Before anything is shown: each look at the test set is on record, in both places."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    study.record_test_evaluation(
        {"time": now, "trial": trial.number, "run_id": run_id, "errors": chosen.errors}
    )
    label = "first use of the test set" if uses == 0 else f"test set already used {uses} times"
    tracker.log_values(
        run_id, metrics={}, tags={"lockstep.test_set": label, "lockstep.test_time": now}
    )


def _log(
    tracker: Tracker,
    run_id: str,
    spec: StudySpec,
    data: Splits,
    chosen: Fit,
    baseline: Fit | None,
    comparison: McNemar | None,
) -> None:
    names, shape = data.test.class_names, data.test.image_shape
    metrics = {
        "test_accuracy": chosen.test_accuracy,
        "test_accuracy_low": chosen.interval.low,
        "test_accuracy_high": chosen.interval.high,
        "test_errors": float(chosen.errors),
    }
    if baseline is not None and comparison is not None:
        metrics |= {
            "baseline_test_accuracy": baseline.test_accuracy,
            "baseline_test_accuracy_low": baseline.interval.low,
            "baseline_test_accuracy_high": baseline.interval.high,
            "baseline_test_errors": float(baseline.errors),
            "mcnemar_p": comparison.p_value,
        }
    tracker.log_values(
        run_id,
        curves=chosen.result.curves,
        metrics=metrics,
        params={**asdict(chosen.result.hyperparameters), **spec.model.model_dump(mode="json")},
    )
    tracker.log_dataset(
        run_id, spec, "train + validation", concatenate(data.train, data.validation)
    )
    tracker.log_dataset(run_id, spec, "test", data.test)
    weights = chosen.result.weights
    files = [
        Artifact(TEMPLATES, images.templates(weights, names, shape)),
        Artifact("accuracy_and_loss.png", _curves_figure(chosen)),
        Artifact("confusion_matrix.png", figures.confusion_matrix(_confusion(chosen, data), names)),
    ]
    if baseline is not None:
        files += [
            Artifact(
                "baseline/templates.png", images.templates(baseline.result.weights, names, shape)
            ),
            Artifact("baseline/accuracy_and_loss.png", _curves_figure(baseline)),
        ]
    tracker.log_files(run_id, files)


def _curves_figure(fit: Fit) -> bytes:
    curves = fit.result.curves
    return figures.retrain_curves(
        fit.iterations[0], fit.iterations[1], curves.train_loss, curves.train_accuracy,
        test_accuracy=fit.test_accuracy,
    )  # fmt: skip


def _confusion(fit: Fit, data: Splits) -> Labels:
    """Test examples by true (row) and predicted (column) class, (C, C)."""
    C = len(data.test.class_names)
    counts = np.zeros((C, C), np.intp)
    np.add.at(counts, (data.test.y, fit.predicted), 1)
    return counts


def summary(report: RetrainReport) -> str:
    """What the test set said, and where the model is."""
    rows = [_row(f"trial #{report.trial}", report.chosen)]
    if report.baseline is not None:
        rows.append(_row("baseline", report.baseline))
    headings = ["", "learning rate", "weight decay", "batch", "train", "test", "95 %", "errors"]
    lines = ["", table(headings, rows)]
    if report.comparison is not None:
        c = report.comparison
        lines.append(
            f"\nagainst the baseline: {c.only_first_correct} examples right that it has wrong, "
            f"{c.only_second_correct} the other way round; exact McNemar p = {c.p_value:.2g}"
        )
    if report.earlier_uses:
        lines.append(
            f"note: the test set of this study was already used {report.earlier_uses} times; "
            "choosing by it would make its score optimistic"
        )
    lines += ["", f"model    {report.model_uri} (alias champion)", f"run      {report.run_url}"]
    return "\n".join(lines)


def _row(name: str, fit: Fit) -> list[str]:
    tried = fit.result.hyperparameters
    low, high = fit.interval
    return [
        name,
        f"{tried.learning_rate:.3g}",
        f"{tried.weight_decay:.3g}",
        f"{tried.batch_size}",
        f"{100 * fit.train_accuracy:.2f} %",
        f"{100 * fit.test_accuracy:.2f} %",
        f"{100 * low:.2f}–{100 * high:.2f} %",
        f"{fit.errors} of {len(fit.correct):,}",
    ]
