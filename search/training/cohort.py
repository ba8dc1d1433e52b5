"""The life of a cohort: its trials train from rung to rung, the worst leave, the others are packed
again; each one's outcome is handed on as soon as it is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core.trainer.packing import packed
from core.trainer.pruning import Schedule, Score
from core.trainer.result import Status
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from core.trainer.training_data import TrainingData
from search.spec.objective import Objective
from search.training.executor import Executor, StackJob, Watch
from search.training.stacks import MIN_STACK_TRIALS, MIN_SURVIVORS, stacks
from search.trials.finished_trial import FinishedTrial, Rung
from search.trials.outcome import Outcome, mean_curves, outcome_of, rung_at
from search.trials.trial import PlannedTrial

Seat = tuple[Stack, int]  # a trial's place


@dataclass(frozen=True, slots=True)
class Cohort:
    """Trials that are decided on together, each of them under each of the seeds.

    A seed is an order of the data, so each has stacks of its own, which all trials share: what
    differs between trials is not luck of the order.

    recorded: those of the trials that are finished already, by number. Decisions use the scores
    that were recorded. A stack is trained as it was first cut, with the recorded trials in it,
    because only the same stack gives the same bits (see `core/trainer/stack.py`); their results are
    not handed on again. Stacks from which nothing more is needed are not trained.
    """

    trials: Sequence[PlannedTrial]
    schedule: Schedule
    seeds: Sequence[int]
    recorded: Mapping[int, FinishedTrial] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Training:
    """What all cohorts of a study have in common: how, on what and where they are trained."""

    penalty: Penalty
    objective: Objective
    data: TrainingData
    executor: Executor
    watch: Watch

    def start(self, cohort: Cohort) -> CohortRun:
        """Start to train a cohort."""
        run = CohortRun(cohort, self)
        run.train(0)
        return run


class CohortRun:
    """A cohort in training. seconds: from the start of each rung to its last finished stack."""

    def __init__(self, cohort: Cohort, training: Training) -> None:
        self.seconds = 0.0
        self._schedule = cohort.schedule
        self._seeds = cohort.seeds
        self._recorded = cohort.recorded
        self._objective = training.objective
        self._training = training
        self._alive = list(cohort.trials)
        self._cut: list[tuple[tuple[PlannedTrial, ...], int]] = []  # and the place of the seed
        self._stacks: Iterator[Stack] = iter(())
        self._seats: dict[int, list[Seat]] = {}  # by trial, one a seed

    def outcomes(self) -> Iterator[tuple[PlannedTrial, Outcome]]:
        """Yield every trial that was not recorded, once. Those that leave at a rung are handed on
        while the others train on. Ends early where the watch asks to stop."""
        for rung in range(len(self._schedule.rungs)):
            last = rung == len(self._schedule.rungs) - 1
            scores: dict[int, Score] = {
                trial.number: self._objective.rank_key(at)
                for trial in self._alive
                if trial.number in self._recorded
                for at in self._recorded[trial.number].rungs
                if at.epoch == self._schedule.rungs[rung]
            }
            for trial in self._arrivals():
                if trial.number in self._recorded:
                    continue
                if self._diverged(trial) or last:
                    yield trial, self._outcome(self._seats[trial.number])
                else:
                    scores[trial.number] = self._objective.rank_key(self._rung(trial, rung))
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
            self._alive = [
                trial
                for trial in self._alive
                if self._went_on(trial, rung)
                or (trial.number in scores.keys() - pruned - self._recorded.keys())
            ]
            self.train(rung + 1)
            for trial in leaving:
                yield trial, self._outcome(left[trial.number])

    def train(self, rung: int) -> None:
        """Start to train those alive to this rung."""
        start = self._schedule.rungs[rung - 1] if rung else 0
        epochs = self._schedule.rungs[rung] - start
        cut = stacks(self._alive, MIN_SURVIVORS if rung else MIN_STACK_TRIALS)
        needed = [trials for trials in cut if any(self._is_needed(each, rung) for each in trials)]
        self._cut = [(trials, place) for trials in needed for place in range(len(self._seeds))]
        jobs = [StackJob(self._stack(trials, place, rung), epochs) for trials, place in self._cut]
        again = [each for trials in needed for each in trials if each.number in self._recorded]
        ends = (min(self._recorded[each.number].stopped_epoch, start + epochs) for each in again)
        self._training.watch.repeated(len(self._seeds) * sum(end - start for end in ends))
        self._seats = {}
        self._stacks = self._training.executor.run(jobs, self._training.watch)

    def _is_needed(self, trial: PlannedTrial, rung: int) -> bool:
        """Return whether a trial needs its stack to be trained to this rung: it is not recorded,
        or it went on from here, perhaps into a stack with one that is not recorded."""
        return trial.number not in self._recorded or self._went_on(trial, rung)

    def _went_on(self, trial: PlannedTrial, rung: int) -> bool:
        """Return whether a recorded trial trained beyond this rung, then and now. (On a processor
        that rounds otherwise, a trial may diverge now that did not then.)"""
        recorded = self._recorded.get(trial.number)
        if recorded is None or recorded.stopped_epoch <= self._schedule.rungs[rung]:
            return False
        return trial.number not in self._seats or not self._diverged(trial)

    def _stack(self, trials: Sequence[PlannedTrial], place: int, rung: int) -> Stack:
        if rung > 0:
            return packed([self._seats[trial.number][place] for trial in trials])
        tried = tuple(trial.hyperparameters for trial in trials)
        return Stack(tried, self._training.penalty, self._seeds[place])

    def _arrivals(self) -> Iterator[PlannedTrial]:
        """The trials whose stacks are back, those of all seeds."""
        seats: dict[int, list[Seat]] = defaultdict(list)
        for (trials, _), stack in zip(self._cut, self._stacks, strict=False):
            for k, trial in enumerate(trials):
                seats[trial.number].append((stack, k))
                if len(seats[trial.number]) == len(self._seeds):
                    self._seats[trial.number] = seats[trial.number]
                    yield trial

    def _diverged(self, trial: PlannedTrial) -> bool:
        return any(
            stack.stopped.get(k, (None, 0))[0] is Status.DIVERGED
            for stack, k in self._seats[trial.number]
        )

    def _rung(self, trial: PlannedTrial, rung: int) -> Rung:
        curves = mean_curves([stack.curves_of(k) for stack, k in self._seats[trial.number]])
        return rung_at(curves, self._schedule.rungs[rung])

    def _outcome(self, seats: Sequence[Seat]) -> Outcome:
        rungs = self._schedule.rungs if len(self._schedule.rungs) > 1 else ()
        return outcome_of([stack.result(k, self._training.data) for stack, k in seats], rungs)
