"""Benchmark 6: what a guided search costs until it is as good as the exhaustive grid.

Real MNIST, all ten classes. The grid's best validation accuracy less `TOLERANCE` is the target, for
each seed anew. Nothing is logged to MLflow, by anyone; Optuna's journal is written by all.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is imported

import numpy as np  # noqa: E402
from measure import Unwatched  # noqa: E402

if TYPE_CHECKING:
    from core.datasets.splits import Splits
    from search.spec.study_spec import StudySpec
    from search.training.executor import Executor

# Heavy imports happen inside functions: training processes import this file too, as any program
# that starts them.

ROWS, HELD_OUT = 10_000, 10_000
EPOCHS, RATES, DECAYS, BATCH_SIZES = 27, 16, 8, [100, 200, 400, 800]
COHORT, COHORTS = 64, 2
REDUCTION = {"halving": 4, "hyperband": 3}
FIRST_RUNG = {"halving": 3, "hyperband": 1}  # hyperband hedges against one that comes too early
FIRST_SEED = 10  # the rungs were chosen with others
TOLERANCE = 0.001  # of accuracy: a tenth of a percentage point
PATIENCE = 60.0  # core seconds for a search trial by trial
AIM_EPOCHS, AIM_SPEED = 0.25, 10.0
WORKERS = 2
GRID, HALVING, GUIDED = "grid", "grid + halving", "tpe + hyperband"
FIXED = f"{GUIDED}, {COHORTS * COHORT} trials"
PLAIN = "Optuna's TPE + HyperbandPruner, plain loop"
PLAIN_FIXED = f"the same, to the best of those {COHORTS * COHORT} trials"
RACES = {PLAIN: GUIDED, PLAIN_FIXED: FIXED}  # to the same score
METHODS: dict[str, dict[str, str]] = {
    GRID: {},
    HALVING: {"pruner": "halving"},
    "grid + hyperband": {"pruner": "hyperband"},
    "tpe": {"sampler": "tpe"},
    "tpe + halving": {"sampler": "tpe", "pruner": "halving"},
    GUIDED: {"sampler": "tpe", "pruner": "hyperband"},
}


@dataclass(frozen=True, slots=True)
class Search:
    """What it took to reach the target, or until it was given up. best: accuracy of the best trial
    that was completed by then."""

    reached: bool
    epochs: int
    seconds: float
    core_seconds: float  # of this process and its workers, which other programs disturb less
    trials: int
    best: float

    def as_json(self) -> dict[str, float]:
        """Infinite effort where the target was not reached."""
        fields: dict[str, float] = asdict(self)
        return fields if self.reached else fields | {"epochs": np.inf, "trials": np.inf}


def spec(method: Mapping[str, Any], seed: int, quick: bool, trials: int | None = None) -> StudySpec:
    """trials: the budget of a sampler; otherwise it is half the epochs that the grid takes."""
    from search.spec.study_spec import StudySpec

    epochs = 9 if quick else EPOCHS
    search: dict[str, Any] = {"objective": "val_accuracy", "seed": seed, **method}
    if "pruner" in method:
        search |= {
            "reduction": REDUCTION[method["pruner"]],
            "min_epochs": 1 if quick else FIRST_RUNG[method["pruner"]],
        }
    if "sampler" in method:
        configurations = RATES * DECAYS * len(BATCH_SIZES)
        budget = {"trials": trials} if trials else {"epochs": configurations * epochs // 2}
        search |= {"cohort": COHORT, **budget}
    points = {"log": True, "points": 4 if quick else RATES}
    return StudySpec.model_validate(
        {
            "name": "efficiency",
            "data": {"source": "mnist"},
            "model": {"epochs": epochs, "seed": seed},
            "space": {
                "learning_rate": {"low": 1e-3, "high": 10.0, **points},
                "weight_decay": {**points, "low": 1e-6, "high": 1e-1, "points": DECAYS},
                "batch_size": BATCH_SIZES,
            },
            "search": search,
        }
    )


def outcomes(
    study_spec: StudySpec, data: Splits, executor: Executor
) -> Iterator[tuple[float, Any]]:
    """Search as a launch does, but for MLflow: seconds and trial of everything that is recorded."""
    from core.trainer.training_data import TrainingData
    from search.settings import Settings
    from search.study.opening import open_study
    from search.training.cohort import Cohort, Training
    from search.trials.finished_trial import FinishedTrial

    training = Training(
        penalty=study_spec.model.penalty,
        objective=study_spec.search.objective,
        folds={"": [TrainingData.of(data.train, data.validation)]},
        executor=executor,
        watch=Unwatched(),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        open_study(study_spec, Settings(home=Path(folder)), data.digest) as study,
    ):
        started = time.perf_counter()
        while trials := study.next_cohort():
            cohort = Cohort(trials, study.schedule(trials), [study_spec.model.seed])
            for trial, outcome in training.start(cohort).outcomes():
                finished = FinishedTrial.of(trial.number, outcome.result, "", outcome.rungs)
                study.record(finished)
                yield time.perf_counter() - started, finished


def search(study_spec: StudySpec, data: Splits, executor: Executor, target: float) -> Search:
    """Until a completed trial reaches the target, which is looked for at the end of each cohort: a
    grid and each cohort is paid for in full."""
    from core.trainer.result import Status

    epochs, trials, best, seconds, before = 0, 0, 0.0, 0.0, core_seconds()
    cohort = study_spec.search.cohort if study_spec.search.sampler != GRID else 10**9
    for elapsed, trial in outcomes(study_spec, data, executor):
        seconds = elapsed
        epochs += trial.stopped_epoch
        trials += 1
        if trial.status is Status.COMPLETED:
            best = max(best, trial.val_accuracy)
        if trials % cohort == 0 and best >= target:
            break
    return Search(best >= target, epochs, seconds, core_seconds() - before, trials, best)


def core_seconds() -> float:
    from measure import core_seconds_of_family

    return core_seconds_of_family()


def one_at_a_time(
    study_spec: StudySpec, data: Splits, targets: Sequence[float], patience: float
) -> list[Search]:
    """Optuna's own sampler and pruner around the plain loop, in this process: what it took to each
    target, of which the last may be the higher one."""
    import optuna
    from optuna.pruners import HyperbandPruner
    from optuna.samplers import TPESampler
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from plain_loop import PlainTrial

    from core.trainer.result import Hyperparameters
    from search.study.distributions import distributions

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    train, held_out, seed = data.train, data.validation, study_spec.model.seed
    D, C = train.X.shape[1], len(train.class_names)
    last = study_spec.model.epochs
    epochs, trials, best = 0, 0, 0.0
    found: dict[float, Search] = {}
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(f"{folder}/journal")),
            direction="maximize",
            sampler=TPESampler(seed=seed),
            pruner=HyperbandPruner(
                min_resource=study_spec.search.rung_epochs(last)[0],
                max_resource=last,
                reduction_factor=study_spec.search.reduction_factor,
            ),
        )
        known = distributions(study_spec)
        started, before = time.perf_counter(), core_seconds()
        while len(found) < len(set(targets)):
            trial = study.ask(known)
            plain = PlainTrial(Hyperparameters(**trial.params), D, C, seed)
            accuracy = 0.0
            state = optuna.trial.TrialState.COMPLETE
            for epoch in range(1, last + 1):
                plain.train_epoch(train.X, train.y, held_out.X, held_out.y)
                epochs += 1
                accuracy = plain.val_accuracy
                trial.report(accuracy, epoch)
                if epoch < last and trial.should_prune():
                    state = optuna.trial.TrialState.PRUNED
                    break
            done = state is optuna.trial.TrialState.COMPLETE
            study.tell(trial, accuracy if done else None, state=state)
            trials += 1
            best = max(best, accuracy) if done else best
            seconds, used = time.perf_counter() - started, core_seconds() - before
            for target in targets:
                if target not in found and (best >= target or used >= patience):
                    found[target] = Search(best >= target, epochs, seconds, used, trials, best)
    return [found[target] for target in targets]


def problem(data_dir: Path | None) -> Splits:
    """The first images of MNIST; their order is random."""
    from core.datasets.source import Source
    from core.datasets.sources import load_source
    from core.datasets.splits import Splits

    loaded = load_source(Source("mnist"), None, data_dir, print, print)
    images, test = loaded.train, loaded.test
    assert test is not None
    train = images.take(np.arange(ROWS))
    held_out = images.take(np.arange(ROWS, ROWS + HELD_OUT))
    return Splits.of(train, held_out, test)


def measure_seed(seed: int, data_dir: Path | None, quick: bool) -> dict[str, Search]:
    """All methods under one seed, of the order of the data and of the sampler."""
    from core.trainer.training_data import TrainingData
    from search.training.processes import processes

    data = problem(data_dir)
    training = TrainingData.of(data.train, data.validation)
    found: dict[str, Search] = {}
    target = 0.0
    with processes([training], WORKERS) as executor:
        _warm_up(executor)  # started before anything is timed
        for name, method in METHODS.items():
            found[name] = search(spec(method, seed, quick), data, executor, target)
            print(name, found[name], file=sys.stderr, flush=True)
            if name == GRID:
                target = found[name].best - TOLERANCE
        fixed = spec(METHODS[GUIDED], seed, quick, trials=COHORTS * COHORT)
        found[FIXED] = replace(search(fixed, data, executor, math.inf), reached=True)
    guided = spec(METHODS[GUIDED], seed, quick)
    plain = one_at_a_time(guided, data, [target, found[FIXED].best], 5.0 if quick else PATIENCE)
    return found | dict(zip((PLAIN, PLAIN_FIXED), plain, strict=True))


def _warm_up(executor: Executor) -> None:
    from core.trainer.result import Hyperparameters
    from core.trainer.softmax import Penalty
    from core.trainer.stack import Stack
    from search.training.executor import StackJob

    stack = Stack((Hyperparameters(0.1, 0.0, 400),), Penalty.NORM, 0)
    for _ in executor.run([StackJob(stack, 1)] * WORKERS, Unwatched()):
        pass


def search_efficiency(
    data_dir: Path | None, rounds: int, quick: bool, say: Callable[[str], None]
) -> str:
    """The Markdown section; a round is a seed, measured in a process of its own."""
    seeds = []
    for seed in range(FIRST_SEED, FIRST_SEED + rounds):
        argument = json.dumps(
            {"seed": seed, "data": str(data_dir) if data_dir else None, "quick": quick}
        )
        done = subprocess.run([sys.executable, __file__, argument], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"seed {seed} failed:\n{done.stderr}")
        seeds.append(json.loads(done.stdout.splitlines()[-1]))
        for name, fields in seeds[-1].items():
            say(f"seed {seed}, {name}: {fields}")
    return section(seeds)


def section(seeds: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    """seeds: for each, a `Search` by method, as JSON."""
    from measure import table

    rows, ratios = [], {}
    for name in seeds[0]:
        epochs = [each[name]["epochs"] / each[GRID]["epochs"] for each in seeds]
        seconds = [each[name]["seconds"] for each in seeds]
        reached = sum(each[name]["reached"] for each in seeds)
        regret = [each[GRID]["best"] - each[name]["best"] for each in seeds]
        ratios[name] = statistics.median(epochs)
        rows.append(
            [
                name,
                f"{reached:.0f} of {len(seeds)}",
                _median([each[name]["epochs"] for each in seeds], "{:,.0f}"),
                _median([100 * value for value in epochs], "{:.0f} %"),
                _median(seconds, "{:.1f}"),
                _median([each[name]["core_seconds"] for each in seeds], "{:.1f}"),
                _median([each[name]["trials"] for each in seeds], "{:.0f}"),
                f"{100 * statistics.median(regret):+.2f}",
            ]
        )
    headings = [
        "search", "arrived", "epochs", "of the grid's", "seconds", "core seconds", "trials",
        "points behind",
    ]  # fmt: skip
    aims = [
        ["epochs of grid + halving over the grid's", f"≤ {AIM_EPOCHS}", f"{ratios[HALVING]:.2f}"]
    ]
    for plain, ours in RACES.items():
        faster = [each[plain]["seconds"] / each[ours]["seconds"] for each in seeds]
        score = "the target" if ours == GUIDED else f"the best of {COHORTS * COHORT} trials"
        span = f" ({min(faster):.1f} to {max(faster):.1f})"
        aims.append(
            [
                f"× faster to {score} than one at a time",
                f"≥ {AIM_SPEED:g}",
                f"{statistics.median(faster):.1f}{span}",
            ]
        )
    configurations = RATES * DECAYS * len(BATCH_SIZES)
    return "\n".join(
        [
            "## A guided search against the exhaustive one",
            "",
            f"MNIST, all ten classes: {ROWS:,} training and {HELD_OUT:,} validation images; a grid "
            f"of {configurations} configurations × {EPOCHS} epochs; the target is its best "
            f"validation accuracy less {100 * TOLERANCE:g} percentage points, for each seed anew. "
            f"Medians of {len(seeds)} seeds; what did not arrive counts as infinite. Rungs of "
            f"halving: {_rungs(HALVING)} epochs, of hyperband: {_rungs(GUIDED)}; cohorts of "
            f"{COHORT}; {WORKERS} training processes, started beforehand; no MLflow. tpe searches "
            "the same ranges continuously. "
            "A guided search is given up after half as many epochs as the grid's, those one "
            f"trial at a time after {PATIENCE:g} core seconds, which then count as if they had "
            f"arrived. “{FIXED}” is a search with that budget, whose best score is the second "
            "target for the search one at a time.",
            "",
            table(headings, rows),
            "",
            table(["aim", "", "median"], aims),
        ]
    )


def _rungs(name: str) -> str:
    return ", ".join(map(str, spec(METHODS[name], 0, False).search.rung_epochs(EPOCHS)))


def _median(values: Sequence[float], form: str) -> str:
    median = statistics.median(values)
    return form.format(median) if np.isfinite(median) else "–"


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    folder = options["data"] and Path(options["data"])
    found = measure_seed(options["seed"], folder, options["quick"])
    print(json.dumps({name: each.as_json() for name, each in found.items()}))
