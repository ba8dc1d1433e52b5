"""Retrain the chosen configuration on train + validation, and judge it on the test set, once."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Literal

import numpy as np

from core.datasets.dataset import Dataset, Splits, concatenate
from core.trainer.result import Hyperparameters
from search.commands.retrain_report import RetrainReport
from search.commands.study_data import load_data
from search.console import Console
from search.errors import LockstepError, NothingToShowError
from search.figures import curves as figures
from search.figures import templates as images
from search.findings.choice import choose
from search.findings.scores import validation_scores
from search.model.fitting import Fit, compared, epochs_by_validation, fit
from search.model.registry import Validated, register_model
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.search_study import SearchStudy, open_study
from search.study.storage import check_launched
from search.tracking import links
from search.tracking.results import MissingResultError, read_result
from search.tracking.store import load_tracker
from search.tracking.tracker import TEMPLATES, Artifact, Tracker
from search.trials.finished_trial import FinishedTrial, ranked

Rule = Literal["best", "one-se"]


def retrain(
    spec: StudySpec,
    settings: Settings,
    console: Console,
    *,
    rule: Rule = "best",
    number: int | None = None,
    seeds: int = 5,
) -> RetrainReport:
    """rule: how the trial is chosen, unless its number is given; the best is the winner of the
    finalists, where there are any. seeds: further fits of it, each with another order of the
    examples, to see how much that alone decides.

    Raises NothingToShowError when there is no such completed trial, LockstepError.
    """
    check_launched(spec.name, settings)
    data = load_data(spec, settings, console.say)
    with open_study(spec, settings, data.digest) as study:
        tracker = load_tracker(spec, settings, "lockstep retrain")
        trial = _choose(study, tracker, data, rule, number)
        validated, epochs = _validated(spec, tracker, trial, data)
        baseline_tried = None if spec.baseline is None else spec.baseline.hyperparameters()
        same = baseline_tried == trial.hyperparameters and epochs == spec.model.epochs
        separate = baseline_tried is not None and not same
        everything = concatenate(data.train, data.validation)
        how = f"--rule {rule}" if number is None else "--trial"
        console.say(
            f"Training trial #{trial.number} of {spec.name} ({how}) on {len(everything):,} "
            f"examples (train + validation) for {epochs} epochs"
            + (", its best by validation" if epochs != trial.stopped_epoch else "")
            + (f", with {1 + seeds} seeds" if seeds else "")
        )
        fits = 1 + seeds + separate
        with console.progress(fits, fits * spec.model.epochs, what="fits") as progress:

            def fitted(tried: Hyperparameters, epochs: int, extra_seed: int = 0) -> Fit:
                seed = (spec.model.seed + extra_seed) % 2**32
                found = fit(spec, tried, epochs, seed, everything, data.test, progress.trained)
                progress.recorded("")
                return found

            chosen = fitted(trial.hyperparameters, epochs)
            baseline = chosen if same else None
            if baseline_tried is not None and not same:
                baseline = fitted(baseline_tried, spec.model.epochs)
            others = [fitted(trial.hyperparameters, epochs, 1 + k) for k in range(seeds)]
        report = RetrainReport(
            study=spec.name,
            trial=trial.number,
            rule=rule if number is None else "given by number",
            epochs=epochs,
            chosen=chosen,
            baseline=baseline,
            comparison=None if baseline is None else compared(chosen, baseline),
            seed_errors=[each.errors for each in others],
            earlier_uses=len(study.test_evaluations()),
        )
        tags = {"lockstep.retrained_trial": str(trial.number)}
        with tracker.run(f"retrain #{trial.number}", "retrain", tags) as run_id:
            _record_test_use(study, tracker, run_id, report)
            _log(tracker, run_id, spec, data, everything, report)
            report.model = register_model(
                tracker, run_id, spec.name, chosen.result.weights, everything, validated
            )
        report.run_url = links.run_url(settings.ui_address, tracker.experiment_id, run_id)
        return report


def _choose(
    study: SearchStudy, tracker: Tracker, data: Splits, rule: Rule, number: int | None
) -> FinishedTrial:
    spec = study.spec
    ranking = ranked(study.finished(), spec.search.objective)
    if not ranking:
        raise NothingToShowError(
            f"study {spec.name} has no completed trial yet: run `lockstep launch {spec.name}`"
        )
    if number is not None:
        for trial in ranking:
            if trial.number == number:
                return trial
        raise LockstepError(
            f"--trial {number}: study {spec.name} has no completed trial of that number; the best "
            f"is {ranking[0].number}"
        )
    if rule == "best":
        finals = study.finals()
        best = finals.winner.trial if finals else ranking[0].number
        return next(trial for trial in ranking if trial.number == best)
    scores = validation_scores(ranking, tracker, data.validation)
    return choose(scores, spec.search.objective, spec.search.seed).one_se.trial


def _validated(
    spec: StudySpec, tracker: Tracker, trial: FinishedTrial, data: Splits
) -> tuple[Validated, int]:
    """What validation said of the trial, and after how many epochs."""
    loss, accuracy, epochs = trial.val_loss, trial.val_accuracy, trial.stopped_epoch
    try:
        curves = read_result(tracker, trial.run_id)[1]
    except MissingResultError:
        pass  # its scores are in the study, the spread over examples is not
    else:
        losses = validation_scores([trial], tracker, data.validation).losses[0]
        spread = float(losses.std(ddof=1, dtype=np.float64)) / len(losses) ** 0.5
        epochs = epochs_by_validation(trial, spread)
        loss, accuracy = curves.val_loss[epochs - 1], curves.val_accuracy[epochs - 1]
    objective = spec.search.objective
    return Validated(trial.number, float(loss), float(accuracy), objective, data.digest), epochs


def _record_test_use(
    study: SearchStudy, tracker: Tracker, run_id: str, report: RetrainReport
) -> None:
    """Before anything is shown: each look at the test set is on record, in both places."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    errors = {"errors": report.chosen.errors, "errors_of_other_seeds": report.seed_errors}
    study.record_test_evaluation(
        {"time": now, "trial": report.trial, "run_id": run_id, "rule": report.rule, **errors}
    )
    tags = {"lockstep.test_set": report.test_label, "lockstep.test_time": now}
    tracker.log_values(run_id, metrics={}, tags=tags)


def _log(
    tracker: Tracker,
    run_id: str,
    spec: StudySpec,
    data: Splits,
    everything: Dataset,
    report: RetrainReport,
) -> None:
    chosen, baseline = report.chosen, report.baseline
    parameters = spec.model.model_dump(mode="json") | {"epochs": report.epochs}
    tracker.log_values(
        run_id,
        curves=chosen.result.curves,
        metrics=report.metrics(),
        params={**asdict(chosen.result.hyperparameters), **parameters, "rule": report.rule},
        tags={"mlflow.note.content": report.markdown()},
    )
    tracker.log_dataset(run_id, spec, "train + validation", everything)
    tracker.log_dataset(run_id, spec, "test", data.test)
    names, shape = data.test.class_names, data.test.image_shape
    weights = chosen.result.weights
    confusion = figures.confusion_matrix(chosen.confusion(data.test), names)
    files = [
        Artifact(TEMPLATES, images.templates(weights, names, shape)),
        Artifact("accuracy_and_loss.png", _curves_figure(chosen)),
        Artifact("confusion_matrix.png", confusion),
    ]
    if baseline is not None:
        its_weights = baseline.result.weights
        scale = max(map(images.largest_weight, (weights, its_weights)))
        both = [(its_weights, "baseline"), (weights, f"trial #{report.trial}")]
        files += [
            Artifact("weights_on_one_scale.png", images.side_by_side(both, names, shape, scale)),
            Artifact(f"baseline/{TEMPLATES}", images.templates(its_weights, names, shape)),
            Artifact("baseline/accuracy_and_loss.png", _curves_figure(baseline)),
        ]
    tracker.log_files(run_id, files)


def _curves_figure(fit: Fit) -> bytes:
    curves = fit.result.curves
    return figures.retrain_curves(
        fit.iterations[0], fit.iterations[1], curves.train_loss, curves.train_accuracy,
        test_accuracy=fit.test_accuracy,
    )  # fmt: skip
