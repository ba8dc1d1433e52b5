"""The life of a cohort: its trials train from rung to rung, the worst leave, the others are packed
again; each one's outcome is handed on as soon as it is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core.packing import packed
from core.result import Status
from core.softmax import Penalty
from core.stack import Stack
from core.training_data import TrainingData
from search.executors import Executor, StackJob
from search.finished_trial import FinishedTrial, Rung, score
from search.outcome import Outcome, mean_curves, outcome_of, rung_at
from search.plan import (
    MIN_STACK_TRIALS,
    MIN_SURVIVORS,
    PlannedTrial,
    StackTask,
    stacks,
    unfinished,
)
from search.pruning import Schedule, Score

Seat = tuple[Stack, int]  # a trial's place


@dataclass(slots=True)
class CohortTraining:
    """Trains a cohort, each of its trials under each of the seeds.

    A seed is an order of the data, so each has stacks of its own, which all trials share: what
    differs between trials is not luck of the order.

    recorded: those of them that are finished already. They are not trained again; in decisions they
    count with the scores that were recorded. What is left trains as it would have beside them: the
    cut into stacks and tiles depends on the decisions alone.
    """

    trials: Sequence[PlannedTrial]
    schedule: Schedule
    recorded: Mapping[int, FinishedTrial]
    seeds: Sequence[int]
    penalty: Penalty
    objective: str
    data: TrainingData
    executor: Executor
    tick: Callable[[int], None]
    training_seconds: float = 0.0
    _alive: list[PlannedTrial] = field(init=False)
    _tasks: list[tuple[StackTask, int]] = field(init=False)  # with the place of their seed
    _stacks: Iterator[Stack] = field(init=False)
    _seats: dict[int, list[Seat]] = field(default_factory=dict)  # by trial, one a seed

    def __post_init__(self) -> None:
        self.recorded = dict(self.recorded)
        self._alive = list(self.trials)
        self._train(0)

    def outcomes(self) -> Iterator[tuple[PlannedTrial, Outcome]]:
        """Every trial that was not recorded, once. Those that leave at a rung are handed on while
        the others train on."""
        for rung in range(len(self.schedule.rungs)):
            last = rung == len(self.schedule.rungs) - 1
            scores: dict[int, Score] = {
                trial.number: self._score(at)
                for trial in self._alive
                if trial.number in self.recorded
                for at in self.recorded[trial.number].rungs
                if at.epoch == self.schedule.rungs[rung]
            }
            for trial in self._arrivals():
                if self._diverged(trial) or last:
                    yield trial, self._outcome(self._seats[trial.number])
                else:
                    scores[trial.number] = self._score(self._rung(trial, rung))
            self.training_seconds += self.executor.training_seconds
            if last:
                return
            pruned = self.schedule.pruned(rung, scores)
            leaving = [
                trial
                for trial in self._alive
                if trial.number in pruned and trial.number not in self.recorded
            ]
            left = {trial.number: self._seats[trial.number] for trial in leaving}
            for stack, k in (seat for seats in left.values() for seat in seats):
                stack.prune([k])
            self._alive = [
                trial
                for trial in self._alive
                if trial.number in scores and trial.number not in pruned
            ]
            self._train(rung + 1)
            for trial in leaving:
                yield trial, self._outcome(left[trial.number])

    def _train(self, rung: int) -> None:
        """Start to train those alive to this rung."""
        classes = self.data.n_classes
        epochs = self.schedule.rungs[rung] - (self.schedule.rungs[rung - 1] if rung else 0)
        tasks = stacks(self._alive, classes, MIN_SURVIVORS if rung else MIN_STACK_TRIALS)
        self._tasks = [
            (task, place)
            for task in unfinished(tasks, self.recorded)
            for place in range(len(self.seeds))
        ]
        jobs = [StackJob(self._stack(task, place, rung), epochs) for task, place in self._tasks]
        self._seats = {}
        self._stacks = self.executor.run(jobs, self.tick)

    def _stack(self, task: StackTask, place: int, rung: int) -> Stack:
        if rung > 0:
            return packed([self._seats[trial.number][place] for trial in task.trials], task.tile)
        trials = tuple(trial.hyperparameters for trial in task.trials)
        return Stack(trials, self.penalty, self.seeds[place], task.tile)

    def _arrivals(self) -> Iterator[PlannedTrial]:
        """The trials whose stacks are back, those of all seeds."""
        seats: dict[int, list[Seat]] = defaultdict(list)
        for (task, _), stack in zip(self._tasks, self._stacks, strict=True):
            for k, trial in enumerate(task.trials):
                seats[trial.number].append((stack, k))
                if len(seats[trial.number]) == len(self.seeds):
                    self._seats[trial.number] = seats[trial.number]
                    yield trial

    def _diverged(self, trial: PlannedTrial) -> bool:
        return any(
            stack.stopped.get(k, (None, 0))[0] is Status.DIVERGED
            for stack, k in self._seats[trial.number]
        )

    def _rung(self, trial: PlannedTrial, rung: int) -> Rung:
        curves = mean_curves([stack.curves_of(k) for stack, k in self._seats[trial.number]])
        return rung_at(curves, self.schedule.rungs[rung])

    def _score(self, at: Rung) -> Score:
        return score(self.objective, at.val_loss, at.val_accuracy)

    def _outcome(self, seats: Sequence[Seat]) -> Outcome:
        rungs = self.schedule.rungs if len(self.schedule.rungs) > 1 else ()
        return outcome_of([stack.result(k, self.data) for stack, k in seats], rungs)
