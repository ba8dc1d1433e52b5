"""Real tables, by the study files that `lockstep init` writes and nothing else.

Each set is searched as `lockstep launch` does and retrained as `lockstep retrain` does, without
recording. The peer is what one writes by hand: StandardScaler + LogisticRegressionCV, given the
same train + validation rows and the same test rows. Both have one core.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import Unwatched, one_core, table

if TYPE_CHECKING:
    from core.datasets.study_data import StudyData
    from search.spec.study_spec import StudySpec

QUICK = ("iris", "banknote")
FIRST_SEED = 5  # the rules of `ranges.py` were chosen with the seeds before it
AIM_MEAN, AIM_EACH = -0.2, -1.0  # percentage points of test accuracy


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores on the test part, in percent, and what they cost."""

    accuracy: float
    balanced_accuracy: float
    core_seconds: float


def tables(folder: Path, seeds: int, quick: bool, say: Callable[[str], None]) -> str:
    """Table of all sets in a folder: tables, and layers of features with labels.npy and split.npy.

    seeds: how many of the division, one a round.
    """
    files = sorted([*folder.glob("*.csv"), *folder.glob("layer-*.npy")])
    if quick:
        files = [file for file in files if file.stem in QUICK]
    if not files:
        return f"## Real tables\n\nSkipped: there are no tables in {folder}."
    with tempfile.TemporaryDirectory() as place, one_core():
        specs = {file.stem: _spec(file, Path(place)) for file in files}
        measured: dict[str, list[tuple[Scores, Scores]]] = {name: [] for name in specs}
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            for name, spec in specs.items():
                pair = _both(spec, seed)
                measured[name].append(pair)
                say(f"  {name}, seed {seed}: {pair[0].accuracy - pair[1].accuracy:+.2f} points")
    return _report(specs, measured, seeds)


def _spec(file: Path, place: Path) -> StudySpec:
    from search.commands.init import init
    from search.console import Console
    from search.spec.study_file import load

    output = place / f"{file.stem}.toml"
    init(str(file), Console(), output=output)
    return load(output)


def _both(spec: StudySpec, seed: int) -> tuple[Scores, Scores]:
    from search.commands.study_data import load_data
    from search.settings import Settings

    divided = spec.model_copy(update={"data": spec.data.model_copy(update={"seed": seed})})
    data = load_data(divided, Settings(), lambda said: None)
    return _ours(divided, data), _peer(data)


def _ours(spec: StudySpec, data: StudyData) -> Scores:
    """As a launch and a retrain do it: search, choose, train again on train + validation."""
    from core.trainer.pruning import Schedule
    from search.findings.scores import validation_scores
    from search.model.fitting import Fitter, epochs_by_validation
    from search.spec.space import grid
    from search.training.cohort import Cohort, Training
    from search.training.in_process import InProcess
    from search.trials.finished_trial import FinishedTrial, ranked
    from search.trials.outcome import Outcome
    from search.trials.results import Result, Results
    from search.trials.trial import PlannedTrial

    started = time.process_time()
    folds = [spec.model.training_data(*fold) for fold in data.first.folds]
    objective = spec.search.objective
    training = Training(spec.model.penalty, objective, {"": folds}, InProcess(folds), Unwatched())
    trials = [PlannedTrial(number, tried) for number, tried in enumerate(grid(spec))]
    full = Schedule((spec.model.epochs,), spec.search.reduction_factor, {})
    run = training.start(Cohort(trials, full, [spec.model.seed]))
    outcomes = {trial.number: outcome for trial, outcome in run.outcomes()}
    finished = [FinishedTrial.of(n, each.result, str(n)) for n, each in outcomes.items()]
    best = ranked(finished, objective)[0]

    def result_of(trial: FinishedTrial) -> Result:
        outcome: Outcome = outcomes[trial.number]
        parts = tuple((each.weights, each.bias) for each in outcome.folds)
        return Result(outcome.result.weights, outcome.result.bias, outcome.result.curves, parts)

    results = Results(lambda several: [result_of(trial) for trial in several])
    losses = validation_scores([best], results, data, spec.model).losses[0]
    error = float(losses.std(ddof=1, dtype=np.float64)) / len(losses) ** 0.5
    merged = data.first.merged()
    fitter = Fitter(spec, merged.train, lambda trained: None)
    epochs = epochs_by_validation(best, error)
    fit = fitter.fit(best.hyperparameters, epochs, spec.model.seed).judged(merged.test)
    seconds = time.process_time() - started
    return _scores(fit.predicted, merged.test.y, seconds)


def _peer(data: StudyData) -> Scores:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = data.first.merged().raw, data.first.raw_test
    # From 1.8 on, these two must be given for what is the default before.
    newer: dict[str, Any] = {"l1_ratios": (0.0,), "use_legacy_attributes": False}
    known = LogisticRegressionCV().get_params()
    given = newer if "use_legacy_attributes" in known else {}
    regression = LogisticRegressionCV(
        Cs=10, cv=5, max_iter=1000, scoring="accuracy", random_state=0, **given
    )
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strengths that do not converge in so many iterations
        pipeline = make_pipeline(StandardScaler(), regression).fit(train.X, train.y)
        predicted = pipeline.predict(test.X)
    return _scores(predicted, test.y, time.process_time() - started)


def _scores(predicted: Any, y: Any, seconds: float) -> Scores:
    correct = predicted == y
    by_class = [correct[y == label].mean() for label in np.unique(y)]
    return Scores(100 * float(correct.mean()), 100 * float(np.mean(by_class)), seconds)


def _report(
    specs: dict[str, StudySpec], measured: dict[str, list[tuple[Scores, Scores]]], seeds: int
) -> str:
    rows, means, balanced, worse = [], [], [], []
    for name, pairs in measured.items():
        accuracy = [ours.accuracy - peer.accuracy for ours, peer in pairs]
        mean, error = _mean(accuracy)
        by_class = _mean([ours.balanced_accuracy - peer.balanced_accuracy for ours, peer in pairs])
        means.append(mean)
        balanced.append(by_class[0])
        if mean + 2 * error < AIM_EACH:
            worse.append(name)
        rows.append(
            [
                name,
                f"{statistics.mean(ours.accuracy for ours, _ in pairs):.2f}",
                f"{statistics.mean(peer.accuracy for _, peer in pairs):.2f}",
                f"{mean:+.2f} ± {error:.2f}",
                f"{by_class[0]:+.2f} ± {by_class[1]:.2f}",
                f"{specs[name].combinations()} × {specs[name].data.folds or 1}",
                f"{statistics.median(ours.core_seconds for ours, _ in pairs):.1f}",
                f"{statistics.median(peer.core_seconds for _, peer in pairs):.1f}",
            ]
        )
    total = statistics.mean(means)
    verdict = f"none is worse than {AIM_EACH:+.0f} beyond two standard errors"
    if worse:
        verdict = f"worse than {AIM_EACH:+.0f} beyond two standard errors: {', '.join(worse)}"
    headings = [
        "set", "ours, %", "peer, %", "difference", "balanced", "trials × folds", "ours, s",
        "peer, s",
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## Real tables",
            f"Test accuracy with the files that `lockstep init` writes, against StandardScaler + "
            f"LogisticRegressionCV (10 strengths, 5 folds, 1,000 iterations) on the same rows; "
            f"{seeds} seeds of the division from {FIRST_SEED} on, mean difference in percentage "
            "points ± its standard error over the seeds; core seconds, medians.",
            table(headings, rows),
            f"Mean difference {total:+.2f} points (aim: {AIM_MEAN:+.1f} or more), balanced "
            f"{statistics.mean(balanced):+.2f}; {verdict}.",
        ]
    )


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return statistics.mean(values), error
