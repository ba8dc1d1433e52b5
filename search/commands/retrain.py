"""Retrain the chosen configuration on train + validation, and evaluate it on the test set once."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Literal, NamedTuple

import numpy as np

from core.datasets.splits import Merged, Splits
from core.trainer.result import Hyperparameters
from search.commands.retrain_report import RetrainReport
from search.commands.session import Session, open_session, results_of
from search.commands.study_data import load_data
from search.console import Console, Workload
from search.errors import LockstepError, NothingToShowError
from search.figures.confusion import confusion_matrix
from search.figures.curves import retrain_curves
from search.figures.picture_choice import weight_pictures
from search.findings.choice import choose
from search.findings.scores import validation_scores
from search.model.fitting import Fit, Fitter, compared, epochs_by_validation
from search.model.lbfgs import LBFGS, LbfgsFit, fit_lbfgs
from search.model.registry import Candidate, Validated, register_model
from search.settings import Settings
from search.spec.solver_baseline import SolverBaseline
from search.spec.study_spec import Baseline, StudySpec
from search.study.search_study import SearchStudy
from search.study.storage import check_launched
from search.tracking import links
from search.tracking.names import NOTE_TAG, RETRAINED_TAG, TEMPLATES, TEST_SET_TAG, TEST_TIME_TAG
from search.tracking.store import load_tracker
from search.tracking.tracker import Artifact, Tracker
from search.trials.finished_trial import FinishedTrial, RungScores, ranked
from search.trials.outcome import scores_at
from search.trials.repeats import distinct
from search.trials.results import Results

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
    """Train the chosen trial on train + validation, evaluate it on test, and register the model.

    rule: how the trial is chosen, unless its number is given; the best is the winner of the
        finalists if there are any.
    seeds: the number of further fits, each with another order of the examples, to see how much the
        order alone changes the score.

    Raises NothingToShowError if the study has no completed trial, and LockstepError.
    """
    check_launched(spec.name, settings)
    data = load_data(spec, settings, console.say)
    with open_session(spec, data, settings, console) as session:
        spec = session.spec
        tracker = load_tracker(spec, settings, "lockstep retrain")
        results = results_of(tracker)
        trial = _choose(session.study, results, data, rule, number)
        validated, epochs = _validated(spec, results, trial, data)
        merged = data.merged()
        how = f"--rule {rule}" if number is None else "--trial"
        console.say(
            f"Training trial #{trial.number} of {spec.name} ({how}) on {len(merged.train):,} "
            f"examples (train + validation) for {epochs} epochs"
            + (", its best epoch on validation" if epochs != trial.stopped_epoch else "")
            + (f", with {1 + seeds} seeds" if seeds else "")
        )
        chosen, baseline, others = _fits(session, merged, trial, epochs, seeds)
        test, seed = merged.test, spec.search.seed
        report = RetrainReport(
            study=spec.name,
            trial=trial.number,
            rule=rule if number is None else "given by number",
            epochs=epochs,
            chosen=chosen,
            scores=chosen.scores(test, seed),
            baseline=baseline,
            baseline_scores=None if baseline is None else baseline.scores(test, seed),
            comparison=None if baseline is None else compared(chosen, baseline),
            seed_errors=[each.errors for each in others],
            earlier_uses=len(session.study.test_evaluations()),
        )
        _write(session, tracker, report, Candidate(chosen.result, merged, validated))
        return report


class Fits(NamedTuple):
    """The fits of a retrain.

    chosen: the fit of the chosen configuration.
    baseline: the fit of the baseline, None if the study names none.
    others: the fits of the chosen configuration with other seeds.
    """

    chosen: Fit
    baseline: Fit | LbfgsFit | None
    others: list[Fit]


def _fits(session: Session, merged: Merged, trial: FinishedTrial, epochs: int, seeds: int) -> Fits:
    """Train all fits of a retrain. Raises InterruptedStudyError if the user asks to stop."""
    spec, stop = session.spec, session.stop
    table = spec.baseline
    baseline = table.hyperparameters(spec.model) if isinstance(table, Baseline) else None
    same = baseline == trial.hyperparameters and epochs == spec.model.epochs
    count = 1 + seeds + (baseline is not None and not same)
    workload = Workload(count, count * spec.model.epochs, "fits")
    with session.console.progress(workload) as progress:

        def on_epoch(trained: int) -> bool:
            progress.trained(trained)
            return stop.made()

        fitter = Fitter(spec, merged.train, merged.test, on_epoch)

        def fitted(tried: Hyperparameters, epochs: int, extra_seed: int = 0) -> Fit:
            found = fitter.fit(tried, epochs, (spec.model.seed + extra_seed) % 2**32)
            stop.honour()
            progress.recorded("")
            return found

        chosen = fitted(trial.hyperparameters, epochs)
        its: Fit | LbfgsFit | None = chosen if same else None  # the baseline's fit
        if baseline is not None and not same:
            its = fitted(baseline, spec.model.epochs)
        others = [fitted(trial.hyperparameters, epochs, 1 + k) for k in range(seeds)]
    if isinstance(table, SolverBaseline):
        session.console.say(f"Fitting the baseline, {LBFGS}, on the same examples")
        its = fit_lbfgs(merged.raw, session.data.raw_test)
        stop.honour()
    return Fits(chosen, its, others)


def _choose(
    study: SearchStudy, results: Results, data: Splits, rule: Rule, number: int | None
) -> FinishedTrial:
    """Return the trial that the rule or the number chooses.

    Raises NothingToShowError if no trial is completed, LockstepError if none has this number.
    """
    spec = study.spec
    ranking = ranked(study.finished(), spec.search.objective)
    if not ranking:
        raise NothingToShowError(
            f"study {spec.name} has no completed trial yet: run `lockstep launch {spec.argument}`"
        )
    if number is not None:
        for trial in ranking:
            if trial.number == number:
                return trial
        raise LockstepError(
            f"--trial {number}: study {spec.name} has no completed trial of that number; the best "
            f"is trial {ranking[0].number}"
        )
    if rule == "best":
        finals = study.finals()
        best = finals.winner.trial if finals else ranking[0].number
        return next(trial for trial in ranking if trial.number == best)
    different = ranked(distinct(ranking, spec.search.objective), spec.search.objective)
    scores = validation_scores(different, results, data, spec.model)
    return choose(scores, spec.search.objective, spec.search.seed).one_se.trial


def _validated(
    spec: StudySpec, results: Results, trial: FinishedTrial, data: Splits
) -> tuple[Validated, int]:
    """Return the validation scores of the trial, and the number of epochs to train for."""
    epochs = trial.stopped_epoch
    scored = RungScores(epochs, trial.val_loss, trial.val_accuracy, trial.val_balanced_accuracy)
    result = results.get(trial)
    if result is not None:  # without it, the spread over examples is unknown
        losses = validation_scores([trial], results, data, spec.model).losses[0]
        spread = float(losses.std(ddof=1, dtype=np.float64)) / len(losses) ** 0.5
        epochs = epochs_by_validation(trial, spread)
        scored = scores_at(result.curves, epochs)
    validated = Validated(
        trial.number,
        scored.val_loss,
        scored.val_accuracy,
        scored.val_balanced_accuracy,
        spec.search.objective,
        data.digest,
    )
    return validated, epochs


def _write(session: Session, tracker: Tracker, report: RetrainReport, candidate: Candidate) -> None:
    """Write the run of a retrain and register its model; complete the report with both."""
    tags = {RETRAINED_TAG: str(report.trial)}
    with tracker.run(f"retrain #{report.trial}", "retrain", tags) as run_id:
        _record_test_use(session.study, tracker, run_id, report)
        _log(session, tracker, run_id, candidate.data, report)
        report.model = register_model(tracker, run_id, session.spec.name, candidate)
    address = session.settings.ui_address
    report.run_url = links.run_url(address, tracker.experiment_id, run_id)


def _record_test_use(
    study: SearchStudy, tracker: Tracker, run_id: str, report: RetrainReport
) -> None:
    """Record this use of the test set in Optuna and in MLflow, before any score is shown."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    errors = {"errors": report.chosen.errors, "errors_of_other_seeds": report.seed_errors}
    study.record_test_evaluation(
        {"time": now, "trial": report.trial, "run_id": run_id, "rule": report.rule, **errors}
    )
    tags = {TEST_SET_TAG: report.test_label, TEST_TIME_TAG: now}
    tracker.log_values(run_id, metrics={}, tags=tags)


def _log(
    session: Session, tracker: Tracker, run_id: str, merged: Merged, report: RetrainReport
) -> None:
    """Log what a retrain found with its run: scores, parameters, datasets and figures."""
    spec, test = session.spec, merged.test
    chosen, baseline = report.chosen, report.baseline
    parameters = spec.model.defining() | {"epochs": report.epochs}
    tracker.log_values(
        run_id,
        curves=chosen.result.curves,
        metrics=report.metrics(),
        params={**parameters, **asdict(chosen.result.hyperparameters), "rule": report.rule},
        tags={NOTE_TAG: report.markdown()},
    )
    tracker.log_dataset(run_id, "train + validation", merged.train)
    tracker.log_dataset(run_id, "test", test)
    pictures = weight_pictures(merged.train)
    weights = chosen.result.weights
    confusion = confusion_matrix(chosen.confusion(test), test.class_names)
    files = [
        Artifact(TEMPLATES, pictures.one(weights)),
        Artifact("accuracy_and_loss.png", _curves_figure(chosen)),
        Artifact("confusion_matrix.png", confusion),
    ]
    if isinstance(baseline, LbfgsFit):
        files.append(Artifact(f"baseline/{TEMPLATES}", pictures.one(baseline.weights)))
    elif baseline is not None:
        its_weights = baseline.result.weights
        both = [(its_weights, "baseline"), (weights, f"trial #{report.trial}")]
        files += [
            Artifact("weights_on_one_scale.png", pictures.side_by_side(both)),
            Artifact(f"baseline/{TEMPLATES}", pictures.one(its_weights)),
            Artifact("baseline/accuracy_and_loss.png", _curves_figure(baseline)),
        ]
    tracker.log_files(run_id, files)


def _curves_figure(fit: Fit) -> bytes:
    """Return the figure of a fit's training, with its accuracy on the test set."""
    return retrain_curves(fit.iterations, fit.result.curves, fit.test_accuracy)
