"""What the run of a trial contains, in the form in which MLflow takes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from io import BytesIO
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets.dataset import Dataset
from core.datasets.study_data import ONLY
from core.trainer.result import Curves, Hyperparameters, Status, TrainingResult
from search.spec.configuration import features_value, method_names, searched_values
from search.spec.study_spec import StudySpec
from search.tracking.names import RANKED_METRIC, SUMMARY_METRICS
from search.trials.finished_trial import FinishedTrial
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric


SPACING = 1.25  # an epoch that is logged, over the one before it
MAX_CLASSES = 20  # the most classes that are named with a dataset


def run_name(trial: PlannedTrial, spec: StudySpec, result: TrainingResult | None = None) -> str:
    """Return a run's name for a list of runs: the trial's number and its hyperparameters.

    If the trial did not complete, how it ended stands between them, where a narrow column still
    shows it.
    """
    tried = trial.hyperparameters
    searched = searched_values(tried, spec)
    ended = ""
    if result is not None and result.status is not Status.COMPLETED:
        ended = f" {result.status.name.lower()}, epoch {result.stopped_epoch}:"
    features = "".join(f" {name}" for name in features_value(tried, spec))
    return (
        f"#{trial.number}{ended}{features} lr {tried.learning_rate:.3g} wd {tried.weight_decay:.3g}"
        f" B {tried.batch_size}"
    ) + "".join(f" {text}" for text in searched)


def logged_epochs(n_epochs: int, every: bool) -> list[int]:
    """Return the epochs, counted from 0, whose values become MLflow metrics.

    These are the first four; then each comes a quarter later than the one before it, rounded up
    (5, 7, 9, 12, 15, 19, 24, 30, 38, …); and the last. Curves bend early, so that lines between
    these points follow them as closely as a point in every fifth epoch would. With ``every``, all
    of them. Points take most of the time of logging, and `RESULT` has the values of every epoch in
    any case.
    """
    if every or n_epochs == 0:
        return list(range(n_epochs))
    epochs = [1]  # counted from 1
    while epochs[-1] < n_epochs:
        epochs.append(min(n_epochs, ceil(SPACING * epochs[-1])))
    return [epoch - 1 for epoch in epochs]


def curve_points(curves: Curves, now: int, every_epoch: bool) -> list[Metric]:
    """Return the finite values of the curves as metrics, with epochs from 1 as steps."""
    from mlflow.entities import Metric

    return [
        Metric(name, float(values[epoch]), now, epoch + 1)
        for name, values in curves.by_name().items()
        for epoch in logged_epochs(len(values), every_epoch)
        if math.isfinite(values[epoch])
    ]


def summary_metrics(trial: FinishedTrial, spec: StudySpec) -> dict[str, float]:
    """Return the finite metrics that summarise a trial, by name."""
    metrics = {name: float(getattr(trial, name)) for name in SUMMARY_METRICS}
    if trial.status is Status.COMPLETED:
        metrics[RANKED_METRIC] = spec.search.objective.of(trial)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def parameters(tried: Hyperparameters, spec: StudySpec) -> dict[str, Any]:
    """Return a run's parameters: hyperparameters, their logarithms, and the model's settings.

    The logarithms are there because the axes of the UI's parallel coordinates are linear. Settings
    that have the values of studies before they existed are left out, unless they are searched.
    """
    logarithms = {
        f"log10_{name}": f"{math.log10(value):.4f}"
        for name in ("learning_rate", "weight_decay")
        for value in [getattr(tried, name)]
        if value > 0
    }
    names = ["learning_rate", "weight_decay", "batch_size", *method_names(spec)]
    names += ["features"] * spec.data.several
    own = {name: getattr(tried, name) for name in names}
    return {**own, **logarithms, **(spec.model.defining() | own)}


def status_sentence(result: TrainingResult) -> str:
    """Return how a trial ended, with the epoch if it did not complete."""
    stopped = "" if result.status is Status.COMPLETED else f" (epoch {result.stopped_epoch})"
    return f"{result.status.value}{stopped}"


def result_file(outcome: Outcome) -> bytes:
    """Return weights and curves as the content of an .npz file."""
    result = outcome.result
    arrays: dict[str, Any] = {"W": result.weights, **result.curves.by_name()}
    if result.hyperparameters.bias:
        arrays["b"] = result.bias
    if outcome.folds:
        arrays["fold_W"] = np.stack([each.weights for each in outcome.folds])
        arrays["fold_b"] = np.stack([each.bias for each in outcome.folds])
    return _npz(arrays)


def curves_file(curves: Curves) -> bytes:
    """Return curves without weights as the content of an .npz file."""
    return _npz(curves.by_name())


def _npz(arrays: Mapping[str, Any]) -> bytes:
    """Return the content of an .npz file of these arrays."""
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def dataset_input(
    spec: StudySpec, context: str, data: Dataset, features: str = ONLY
) -> DatasetInput:
    """Return a dataset as MLflow logs it: its name, digest, source and size.

    context: what it is for, in a word or two. features: the name of its set of features.
    """
    from mlflow.entities import Dataset as LoggedDataset
    from mlflow.entities import DatasetInput, InputTag

    name, source = f"{spec.name} {context}", spec.data.origin
    if spec.data.features is not None:
        name, source = f"{name} {features}", spec.data.features[features]
    names = data.class_names
    classes = {"classes": names if len(names) <= MAX_CLASSES else len(names)}
    profile = {"rows": len(data.y), "features": data.X.shape[1], **classes}
    return DatasetInput(
        LoggedDataset(
            name=name,
            digest=data.digest[:36],
            source_type="local",
            source=json.dumps({"source": source, "sha256": data.digest}),
            profile=json.dumps(profile),
        ),
        [InputTag("mlflow.data.context", context)],
    )
