"""Studies that are driven as a launch drives them, with made-up results."""

from __future__ import annotations

import math
import time
from pathlib import Path

import optuna
from command import Process, start
from made_up import make_result
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from small_study import small_spec

from core.trainer.result import Hyperparameters, Status
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.search_study import SearchStudy
from search.training.stacks import stacks
from search.trials.finished_trial import FinishedTrial

DIGEST = "0123abcd"
TRIALS, COHORT = 22, 8  # of the sampled studies: the last cohort is not a full one
SAMPLERS = ["random", "qmc", "tpe", "cmaes"]


def sampled(sampler: str, trials: int = TRIALS) -> StudySpec:
    """Return the small study with a sampler instead of the grid."""
    return small_spec(sampler=sampler, trials=trials, cohort=COHORT)


def drive(study: SearchStudy, most: float = math.inf) -> int:
    """Record up to ``most`` trials of an open study in the order of a launch; how many it were."""
    finished = {trial.number for trial in study.finished()}
    objective, epochs = study.spec.search.objective, study.spec.model.epochs
    recorded = 0
    while cohort := study.next_cohort():
        trials = [each for stack in stacks(cohort) for each in stack]
        missing = [each for each in trials if each.number not in finished]
        if not missing:
            break
        for planned in missing:
            if recorded >= most:
                return recorded
            # Some fail, so that what follows meets failed trials too.
            status = Status.DIVERGED if planned.number % 7 == 3 else Status.COMPLETED
            result = make_result(planned.hyperparameters, status, epochs, objective=objective)
            study.record(FinishedTrial.of(planned.number, result, f"run {planned.number}"))
            finished.add(planned.number)
            recorded += 1
    return recorded


def journal(settings: Settings) -> Path:
    return settings.home / "small" / "study.journal"


def stored(settings: Settings) -> list[FrozenTrial]:
    """The trials as Optuna alone sees them."""
    storage = (
        RDBStorage(settings.storage)
        if settings.storage
        else JournalStorage(JournalFileBackend(str(journal(settings))))
    )
    return optuna.load_study(study_name="small", storage=storage).get_trials()


def sequence(trials: list[FinishedTrial]) -> list[tuple[int, Hyperparameters]]:
    return [(trial.number, trial.hyperparameters) for trial in trials]


def launched_until_more_is_recorded(
    folder: Path, more: int = 1, new_group: bool = False, warm_children: bool = False
) -> Process:
    """Start a launch of the small study in a folder; return once it has recorded so many more
    trials than before, or has ended."""
    before = recorded(folder)
    process = start(
        "launch", "study.toml", cwd=folder, new_group=new_group, warm_children=warm_children
    )
    while process.poll() is None and recorded(folder) < before + more:
        time.sleep(0.02)
    return process


def recorded(folder: Path) -> int:
    """Return how many trials of the small study that was launched in a folder are recorded."""
    journal = folder / "runs" / "small" / "study.journal"
    return journal.read_bytes().count(b"lockstep.result") if journal.exists() else 0
