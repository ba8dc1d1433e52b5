"""The training of a cohort from rung to rung.

At each rung the worst trials stop, and the others are packed into new stacks. The outcome of each
trial is returned as soon as it is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from core.trainer.packing import packed
from core.trainer.pruning import Schedule, Score
from core.trainer.result import Hyperparameters, Status
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from search.spec.objective import Objective
from search.training.begun import Begun, begun_stack
from search.training.executor import Executor, Folds, StackJob, Watch
from search.training.stacks import (
    MIN_STACK_TRIALS,
    MIN_SURVIVORS,
    least_trials,
    most_trials,
    stacks,
    wanted_stacks,
)
from search.trials.finished_trial import FinishedTrial, RungScores
from search.trials.outcome import (
    FoldResults,
    Outcome,
    mean_curves,
    outcome_of,
    scores_at,
)
from search.trials.trial import PlannedTrial

T = TypeVar("T")


class Run(NamedTuple):
    """One of the trainings of a trial: its seed, and the fold that is held out."""

    seed: int
    fold: int


Seat = tuple[Stack, int]  # the stack of a trial, and its index there


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort of trials (see `stacks.py`), each of which is trained with each of the seeds, and
    with each of them on every fold of the data.

    A seed decides the order of the data, so each seed and fold has its own stacks. All trials are
    trained with the same seeds, so they do not differ by a lucky order.

    recorded: the trials that are finished already, by number. Decisions use their recorded scores.
        They are still trained in the stacks they were in before, because only the same stack gives
        the same bits (see `core/trainer/stack.py`), but their outcomes are not returned again. A
        stack from which nothing more is needed is not trained.
    begun: what is known of trials that were trained for fewer epochs, None if there are none.
    """

    trials: Sequence[PlannedTrial]
    schedule: Schedule
    seeds: Sequence[int]
    recorded: Mapping[int, FinishedTrial] = field(default_factory=dict)
    begun: Begun | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """The training that all cohorts of a study share: on which data, by what, watched by whom.

    folds: for each set of features, by its name, the data of each fold. The executor has those of
        all sets one after another.
    """

    penalty: Penalty
    objective: Objective
    folds: Mapping[str, Folds]
    executor: Executor
    watch: Watch

    def start(self, cohort: Cohort) -> CohortRun:
        """Start to train a cohort, and return its run."""
        run = CohortRun(cohort, self)
        run.train(0)
        return run


class CohortRun:
    """A cohort in training.

    seconds: the time from the start of a rung to its last finished stack, summed over rungs.
    """

    def __init__(self, cohort: Cohort, training: Training) -> None:
        self.seconds = 0.0
        self._schedule = cohort.schedule
        folds = training.folds
        first = next(iter(folds.values()))  # All sets of features have the same folds.
        self._runs = [Run(seed, fold) for seed in cohort.seeds for fold in range(len(first))]
        self._n_classes = first[0].n_classes
        self._held_out = [len(fold.y_val) for fold in first]
        self._place = {name: index * len(first) for index, name in enumerate(folds)}
        self._recorded = cohort.recorded
        self._begun = cohort.begun
        self._objective = training.objective
        self._training = training
        self._alive = list(cohort.trials)
        self._cut: list[tuple[tuple[PlannedTrial, ...], int]] = []  # with the index of the run
        self._stacks: Iterator[Stack] = iter(())
        self._seats: dict[int, list[Seat]] = {}  # by trial number, one seat per run

    def outcomes(self) -> Iterator[tuple[PlannedTrial, Outcome]]:
        """Yield each trial that was not recorded, with its outcome.

        Trials that stop at a rung are yielded while the others train on. The iteration ends early
        if the watch asks to stop.
        """
        for rung in range(len(self._schedule.rung_epochs)):
            last = rung == len(self._schedule.rung_epochs) - 1
            scores: dict[int, Score] = {
                trial.number: self._objective.rank_key(at)
                for trial in self._alive
                if trial.number in self._recorded
                for at in self._recorded[trial.number].rungs
                if at.epoch == self._schedule.rung_epochs[rung]
            }
            for trial in self._arrivals():
                if trial.number in self._recorded:
                    if last:
                        del self._seats[trial.number]
                elif self._diverged(trial) or last:
                    # A stack is not kept longer than its trials are recorded.
                    yield trial, self._outcome(self._seats.pop(trial.number))
                else:
                    scores[trial.number] = self._objective.rank_key(self._scores(trial, rung))
            self.seconds += self._training.executor.training_seconds
            if last or self._training.watch.stopping():
                return
            pruned = self._schedule.pruned(rung, scores)
            leaving = [
                trial
                for trial in self._alive
                if trial.number in pruned and trial.number not in self._recorded
            ]
            left = {trial.number: self._seats[trial.number] for trial in leaving}
            for stack, k in (seat for seats in left.values() for seat in seats):
                stack.prune([k])
            survivors = scores.keys() - pruned - self._recorded.keys()
            self._alive = [
                trial
                for trial in self._alive
                if trial.number in survivors or self._went_on(trial, rung)
            ]
            self.train(rung + 1)
            for trial in leaving:
                yield trial, self._outcome(left[trial.number])

    def train(self, rung: int) -> None:
        """Start to train the trials that have not stopped, up to this rung."""
        start = self._schedule.rung_epochs[rung - 1] if rung else 0
        end = self._schedule.rung_epochs[rung]
        least = least_trials(MIN_SURVIVORS if rung else MIN_STACK_TRIALS, self._n_classes)
        wanted = wanted_stacks(self._n_classes)
        cut = stacks(self._alive, least, self._most_trials, wanted)
        needed = [trials for trials in cut if any(self._is_needed(each, rung) for each in trials)]
        self._cut = [(trials, run) for trials in needed for run in range(len(self._runs))]
        ready = [(self._stack(trials, run, rung), trials, run) for trials, run in self._cut]
        jobs = [
            StackJob(stack, end - stack.epoch, self._index(trials[0], run))
            for stack, trials, run in ready
        ]
        anew = [each for stack, trials, _ in ready for each in trials if stack.epoch == start]
        again = sum(max(0, min(self._epochs_before(each), end) - start) for each in anew)
        self._training.watch.repeated(again)
        self._seats = {}
        self._stacks = self._training.executor.run(jobs, self._training.watch)

    def _epochs_before(self, trial: PlannedTrial) -> int:
        """Return for how many epochs a trial was trained by earlier launches."""
        if (known := self._recorded.get(trial.number)) is not None:
            return known.stopped_epoch
        return 0 if self._begun is None else self._begun.epochs.get(trial.number, 0)

    def _index(self, trial: PlannedTrial, run: int) -> int:
        """Return the index of the executor's data on which a trial is trained in this run."""
        return self._place[trial.hyperparameters.features] + self._runs[run].fold

    def _most_trials(self, features: str) -> int:
        """Return the most trials of a stack that is trained on these features."""
        return most_trials(self._training.folds[features][0].n_features, self._n_classes)

    def _is_needed(self, trial: PlannedTrial, rung: int) -> bool:
        """Return whether a trial needs its stack to be trained to this rung.

        It does if it is not recorded, or if it trained beyond this rung, because its next stack may
        contain a trial that is not recorded.
        """
        return trial.number not in self._recorded or self._went_on(trial, rung)

    def _went_on(self, trial: PlannedTrial, rung: int) -> bool:
        """Return whether a recorded trial trained beyond this rung, and has not diverged now.

        On a processor that rounds differently, it may diverge although it did not before.
        """
        recorded = self._recorded.get(trial.number)
        if recorded is None or recorded.stopped_epoch <= self._schedule.rung_epochs[rung]:
            return False
        return trial.number not in self._seats or not self._diverged(trial)

    def _stack(self, trials: Sequence[PlannedTrial], run: int, rung: int) -> Stack:
        """Return the stack of these trials, ready to be trained to this rung.

        run: the index of the seed and fold that they are trained with.
        """
        if rung > 0:
            return packed([self._seats[trial.number][run] for trial in trials])
        epochs = self._schedule.rung_epochs[-1]

        def made(tried: tuple[Hyperparameters, ...]) -> Stack:
            return Stack(tried, self._training.penalty, self._runs[run].seed, epochs)

        if self._begun is not None and len(self._runs) == 1:
            data = self._training.folds[trials[0].hyperparameters.features][0]
            begun = begun_stack(trials, self._begun, self._recorded, data, made)
            if begun is not None:
                return begun
        return made(tuple(trial.hyperparameters for trial in trials))

    def _arrivals(self) -> Iterator[PlannedTrial]:
        """Yield each trial once its stacks of all seeds and folds are trained."""
        for trials, _ in self._cut:
            stack = next(self._stacks, None)
            if stack is None:
                return
            for k, trial in enumerate(trials):
                self._seats.setdefault(trial.number, []).append((stack, k))
            del stack  # Only its trials' seats keep it.
            for trial in trials:
                if len(self._seats[trial.number]) == len(self._runs):
                    yield trial

    def _diverged(self, trial: PlannedTrial) -> bool:
        """Return whether the trial diverged under any seed or on any fold."""
        return any(
            stack.stopped.get(k, (None, 0))[0] is Status.DIVERGED
            for stack, k in self._seats[trial.number]
        )

    def _scores(self, trial: PlannedTrial, rung: int) -> RungScores:
        """Return the trial's scores at this rung, as means over seeds and folds."""
        curves = [stack.curves_of(k) for stack, k in self._seats[trial.number]]
        by_seed = [mean_curves(several, self._held_out) for several in self._by_seed(curves)]
        return scores_at(mean_curves(by_seed), self._schedule.rung_epochs[rung])

    def _outcome(self, seats: Sequence[Seat]) -> Outcome:
        """Return the outcome of the trial with these seats."""
        compared_at = self._schedule.rung_epochs
        if len(compared_at) == 1:
            compared_at = ()  # A single rung is the full training, at which nothing is decided.
        folds = self._training.folds[seats[0][0].trials[0].features]
        results = [
            stack.result(k, folds[run.fold])
            for (stack, k), run in zip(seats, self._runs, strict=True)
        ]
        by_seed = [FoldResults(several, self._held_out) for several in self._by_seed(results)]
        return outcome_of(by_seed, compared_at)

    def _by_seed(self, of_runs: Sequence[T]) -> list[Sequence[T]]:
        """Return what belongs to the runs, one for each, divided by seed."""
        k = len(self._held_out)
        return [of_runs[start : start + k] for start in range(0, len(of_runs), k)]
