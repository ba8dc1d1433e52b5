"""Retrain the chosen configuration on train + validation, and evaluate it on the test set once."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np

from core.datasets.splits import Merged
from core.trainer.result import Hyperparameters
from search.commands.retrain_report import RetrainReport, uses_in_words
from search.commands.retrain_run import Chosen, Models, RetrainRun
from search.commands.session import Session, open_session, results_of
from search.commands.study_data import load_data
from search.console import Console, Workload
from search.errors import LockstepError, NothingToShowError
from search.findings.evaluation import Evaluation
from search.findings.scores import validation_scores
from search.findings.sentences import none_completed, weights_not_kept
from search.model.fitting import Fit, Fitter, Trained, compared, epochs_by_validation
from search.model.lbfgs import LBFGS, LbfgsFit, LbfgsModel, fit_lbfgs
from search.model.registry import Candidate, Validated, register_model
from search.settings import Settings
from search.spec.solver_baseline import SolverBaseline
from search.spec.study_spec import Baseline, StudySpec
from search.study.storage import check_launched
from search.tracking.client import answering
from search.tracking.explanations import explained
from search.tracking.links import run_url
from search.tracking.names import RETRAINED_TAG
from search.tracking.registered_model import check_registered_model
from search.tracking.store import load_tracker
from search.tracking.tracker import Tracker
from search.trials.finished_trial import FinishedTrial, RungScores, ranked
from search.trials.outcome import scores_at
from search.trials.results import Results
from search.wording import counted

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

    The test set is used last, when the model is registered and all is done that can fail for a
    reason that was there before. Its use is recorded before any score is shown. If the scores then
    cannot be written to MLflow, the report has them all the same, with the error as its `failure`.

    Raises NothingToShowError if the study has no completed trial, LockstepError, and OSError.
    """
    check_launched(spec.name, settings)
    data = load_data(spec, settings, console.say, reading=console.reading)
    with open_session(spec, data, settings, console) as session:
        spec = session.spec
        tracker = load_tracker(spec, settings, "lockstep retrain", session.study.identity())
        check_registered_model(tracker.client, spec.name, settings, tracker.identity)
        results = results_of(tracker)
        trial = _choose(session, results, rule, number)
        validated, epochs = _validated(session, results, trial)
        features = trial.hyperparameters.features
        merged = data.of(features).merged()
        how = f"--rule {rule}" if number is None else "--trial"
        for line in uses_in_words(session.study.test_evaluations()):
            console.say(line)
        named = spec.data.named(features)
        console.say(
            f"Training trial #{trial.number} of {spec.name} ({how}) on "
            + (f"the features {named} of " if spec.data.several else "")
            + f"{len(merged.train):,} examples (train + validation) for {counted(epochs, 'epoch')}"
            + (", its best epoch on validation" if epochs != trial.stopped_epoch else "")
            + (f", with {1 + seeds} seeds" if seeds else "")
        )
        models = _models(session, merged, trial, epochs, seeds)
        chosen = Chosen(trial.number, rule if number is None else "given by number", epochs)
        candidate = Candidate(models.chosen.result, merged, validated, named)
        return _evaluate(session, tracker, chosen, models, candidate)


def _models(
    session: Session, merged: Merged, trial: FinishedTrial, epochs: int, seeds: int
) -> Models:
    """Train all models of a retrain. Raises InterruptedStudyError if the user asks to stop.

    merged: the data of the trial's features. The baseline may have others.
    """
    spec, stop = session.spec, session.stop
    table = spec.baseline
    baseline = table.hyperparameters(spec) if isinstance(table, Baseline) else None
    features = its_features = trial.hyperparameters.features
    if baseline is not None:
        its_features = baseline.features
    elif table is not None and table.features is not None:
        its_features = table.features
    its_data = merged if its_features == features else session.data.of(its_features).merged()
    same = baseline == trial.hyperparameters and epochs == spec.model.epochs
    count = 1 + seeds + (baseline is not None and not same)
    workload = Workload(count, count * spec.model.epochs, "fits")
    with session.console.progress(workload) as progress:

        def on_epoch(trained: int) -> bool:
            progress.trained(trained)
            return stop.made()

        order = session.study.order
        fitters = {features: Fitter(spec, merged.train, on_epoch, order)}

        def fitted(tried: Hyperparameters, epochs: int, extra_seed: int = 0) -> Trained:
            if tried.features not in fitters:
                fitters[tried.features] = Fitter(spec, its_data.train, on_epoch, order)
            found = fitters[tried.features].fit(
                tried, epochs, (spec.model.seed + extra_seed) % 2**32
            )
            stop.honour()
            progress.recorded("")
            return found

        chosen = fitted(trial.hyperparameters, epochs)
        its: Trained | LbfgsModel | None = chosen if same else None  # the baseline's model
        if baseline is not None and not same:
            its = fitted(baseline, spec.model.epochs)
        others = [fitted(trial.hyperparameters, epochs, 1 + k) for k in range(seeds)]
    if isinstance(table, SolverBaseline):
        of = "" if its_features == features else f" of {spec.data.named(its_features)}"
        session.console.say(f"Fitting the baseline, {LBFGS}, on the same examples{of}")
        its = fit_lbfgs(its_data.raw)
        stop.honour()
    return Models(chosen, merged, its, its_features, its_data, others)


def _choose(session: Session, results: Results, rule: Rule, number: int | None) -> FinishedTrial:
    """Return the trial that the rule or the number chooses.

    Raises NothingToShowError if no trial is completed, LockstepError if none has this number.
    """
    study, spec = session.study, session.spec
    finished = study.finished()
    ranking = ranked(finished, spec.search.objective)
    if not ranking:
        raise NothingToShowError(none_completed(spec, finished))
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
    choice = Evaluation.of(spec, ranking, results, session.data).choice
    assert choice is not None
    if choice.not_kept:
        session.console.say(weights_not_kept(choice, spec))
    return choice.one_se.trial


def _validated(session: Session, results: Results, trial: FinishedTrial) -> tuple[Validated, int]:
    """Return the validation scores of the trial, and the number of epochs to train for."""
    spec, data = session.spec, session.data
    epochs = trial.stopped_epoch
    scored = RungScores(epochs, trial.val_loss, trial.val_accuracy, trial.val_balanced_accuracy)
    result = results.get(trial)
    if result is not None and result.by_fold:  # else the spread over examples is unknown
        losses = validation_scores([trial], results, data, spec.model).losses[0]
        spread = float(losses.std(ddof=1, dtype=np.float64)) / len(losses) ** 0.5
        epochs = epochs_by_validation(trial, spread)
        scored = scores_at(result.curves, epochs)
    elif result is not None:
        session.console.say(
            f"The weights of trial #{trial.number} are not kept, so it is not known how sure "
            "its best epoch is: it is trained for all its epochs"
        )
    validated = Validated(
        trial.number,
        scored.val_loss,
        scored.val_accuracy,
        scored.val_balanced_accuracy,
        spec.search.objective,
        data.digest,
        session.study.earlier_digests,
    )
    return validated, epochs


def _evaluate(
    session: Session, tracker: Tracker, chosen: Chosen, models: Models, candidate: Candidate
) -> RetrainReport:
    """Write the run of a retrain and register its model, then judge the models on the test set."""
    report: RetrainReport | None = None
    name = f"retrain #{chosen.trial}"
    tags = {RETRAINED_TAG: str(chosen.trial)}
    try:
        with answering(session.settings), tracker.run(name, "retrain", tags) as run_id:
            run = RetrainRun(tracker, run_id, chosen, models)
            run.log_models(session.spec)
            model = register_model(tracker, run_id, session.spec.name, candidate)
            session.stop.honour()
            found = _judged(session, chosen, models)
            found.model = model
            found.run_url = run_url(session.settings.ui_address, tracker.experiment_id, run_id)
            now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            session.study.record_test_evaluation(found.use(now, run_id))
            report = found  # From here on, the scores are shown whatever fails.
            run.log_scores(report, now)
    except Exception as error:
        if report is None:
            raise
        report.failure = error
        if isinstance(error, LockstepError | OSError):
            reason = explained(error.__cause__ or error, session.settings)
            report.failure = LockstepError(
                f"the scores above are recorded with the study, but could not be written to MLflow "
                f"({reason}): note them; retraining again would use the test set again"
            )
    return report


def _judged(session: Session, chosen: Chosen, models: Models) -> RetrainReport:
    """Use the test set: return the scores of all models on it, each with its own features."""
    spec, seed = session.spec, session.spec.search.seed
    test, its_test = models.data.test, models.baseline_data.test
    fit = models.chosen.judged(test)
    baseline: Fit | LbfgsFit | None = None
    if isinstance(models.baseline, LbfgsModel):
        its_test = session.data.of(models.baseline_features).raw_test
    if models.baseline is not None:
        baseline = models.baseline.judged(its_test)
    return RetrainReport(
        study=spec.name,
        features=spec.data.named(models.features),
        baseline_features=spec.data.named(models.baseline_features),
        trial=chosen.trial,
        rule=chosen.rule,
        epochs=chosen.epochs,
        chosen=fit,
        scores=fit.scores(test, seed),
        baseline=baseline,
        baseline_scores=None if baseline is None else baseline.scores(its_test, seed),
        comparison=None if baseline is None else compared(fit, baseline),
        seed_errors=[each.judged(test).errors for each in models.others],
        earlier_uses=session.study.test_evaluations(),
    )
