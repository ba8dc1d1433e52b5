"""Cohorts that are trained for real, in this process, on tiny data."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import diverging_trial, make_problem
from watching import Watching

from core.trainer.pruning import Schedule, kept
from core.trainer.result import Curves, Hyperparameters, Status
from core.trainer.softmax import Penalty
from core.trainer.stack import train
from search.blas import one_blas_thread
from search.spec.objective import Objective
from search.training.cohort import Cohort, Training
from search.training.executor import Executor
from search.training.in_process import InProcess
from search.trials.finished_trial import FinishedTrial
from search.trials.outcome import Outcome
from search.trials.trial import PlannedTrial

PROBLEM = make_problem(3)
RUNGS = (1, 3, 9)
DIVERGING, LATER = 11, 10  # trials


@pytest.fixture(scope="module", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """Limit BLAS once, as a driver does, and not for each stack."""
    with one_blas_thread():
        yield


Undisturbed = tuple[Schedule, tuple[int, ...], dict[int, Outcome]]


def cohort() -> list[PlannedTrial]:
    """Two batch sizes; one trial diverges in the first epoch, and one later, if it lives on."""
    rates = 10 ** np.linspace(-3, 0.3, 12)
    sizes = itertools.cycle((8, 16))
    trials = [
        PlannedTrial(n, Hyperparameters(float(rate), 1e-4, size))
        for n, (rate, size) in enumerate(zip(rates, sizes, strict=False))
    ]
    trials[DIVERGING] = PlannedTrial(DIVERGING, diverging_trial(16, factor=-1e9))
    trials[LATER] = PlannedTrial(LATER, diverging_trial(8, factor=-30.0))
    return trials


def schedule(hyperband: bool = False, rungs: tuple[int, ...] = RUNGS) -> Schedule:
    return Schedule.of(range(12), rungs, 3, hyperband=hyperband, seed=(0, 0))


def training(executor: Executor | None = None, watch: Watching | None = None) -> Training:
    return Training(
        penalty=Penalty.SQUARED,
        objective=Objective.LOSS,
        folds={"": [PROBLEM.data]},
        executor=executor or InProcess([PROBLEM.data]),
        watch=watch or Watching(),
    )


def finished(trial: PlannedTrial, outcome: Outcome) -> FinishedTrial:
    return FinishedTrial.of(trial.number, outcome.result, "run", outcome.rungs, outcome.spread)


def run(
    plan: Schedule,
    recorded: Mapping[int, FinishedTrial] | None = None,
    seeds: tuple[int, ...] = (5,),
    watch: Watching | None = None,
) -> dict[int, Outcome]:
    started = training(watch=watch).start(Cohort(cohort(), plan, seeds, recorded or {}))
    found = list(started.outcomes())
    assert len({trial.number for trial, _ in found}) == len(found), "each trial once"
    return {trial.number: outcome for trial, outcome in found}


def equal(one: Outcome, other: Outcome) -> bool:
    a, b = one.result, other.result
    return (
        (a.hyperparameters, a.status, a.stopped_epoch)
        == (b.hyperparameters, b.status, b.stopped_epoch)
        and one.rungs == other.rungs
        and one.spread == other.spread
        and np.array_equal(a.weights, b.weights)
        and all(
            np.array_equal(getattr(a.curves, name), getattr(b.curves, name), equal_nan=True)
            for name in Curves.names()
        )
    )


KINDS = {
    "halving": (schedule(), (5,)),
    "hyperband": (schedule(hyperband=True), (5,)),
    "replicates": (schedule(), (5, 6, 7)),
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def undisturbed(request: pytest.FixtureRequest) -> Undisturbed:
    plan, seeds = request.param
    return plan, seeds, run(plan, seeds=seeds)


def test_every_trial_ends_once(undisturbed: Undisturbed) -> None:
    _, _, outcomes = undisturbed
    assert sorted(outcomes) == list(range(12)), "pruned + complete + failed = cohort"
    for number, outcome in outcomes.items():
        result = outcome.result
        assert len(result.curves) == result.stopped_epoch
        passed = [rung.epoch for rung in outcome.rungs]
        if result.status is Status.DIVERGED:
            assert number in (DIVERGING, LATER)
            assert all(epoch < result.stopped_epoch for epoch in passed)
            continue
        assert passed == [epoch for epoch in RUNGS if epoch <= result.stopped_epoch]
        assert (result.status is Status.COMPLETED) == (result.stopped_epoch == RUNGS[-1])
        for rung in outcome.rungs:
            assert rung.val_loss == result.curves.val_loss[rung.epoch - 1]
    assert outcomes[DIVERGING].result.status is Status.DIVERGED


@pytest.mark.parametrize("seeds", [(5,), (5, 6, 7)], ids=["halving", "replicates"])
def test_the_rule_is_kept(seeds: tuple[int, ...]) -> None:
    """By halving; Hyperband's brackets have rungs of their own."""
    plan = schedule()
    assert set(plan.brackets.values()) == {0}
    outcomes = run(plan, seeds=seeds)
    for rung, epoch in enumerate(RUNGS[:-1]):
        went_on = [n for n, each in outcomes.items() if each.result.stopped_epoch > epoch]
        at_rung = {
            n: at.val_loss for n, each in outcomes.items() for at in each.rungs if at.epoch == epoch
        }
        assert len(went_on) == kept(12, 3, rung + 1)
        assert set(went_on) == set(sorted(at_rung, key=at_rung.__getitem__)[: len(went_on)])


def test_alike_up_to_the_first_rung_and_close_beyond(undisturbed: Undisturbed) -> None:
    """Beyond, survivors train in stacks of another height, which round otherwise."""
    _, seeds, outcomes = undisturbed
    full = run(schedule(rungs=RUNGS[-1:]), seeds=seeds)
    for number, outcome in outcomes.items():
        if number in (DIVERGING, LATER):
            continue
        mine, its = outcome.result.curves, full[number].result.curves
        for name in Curves.names():
            short, whole = getattr(mine, name), getattr(its, name)[: len(mine)]
            assert np.array_equal(short[:1], whole[:1])
            np.testing.assert_allclose(short, whole, rtol=2e-3, atol=0.03)


def test_resumed_wherever_it_was_killed(undisturbed: Undisturbed) -> None:
    """Same decisions, same numbers, bit for bit, after any number of recorded trials."""
    plan, seeds, outcomes = undisturbed
    planned = {trial.number: trial for trial in cohort()}
    for n in range(len(outcomes) + 1):
        recorded = {
            number: finished(planned[number], outcome)
            for number, outcome in itertools.islice(outcomes.items(), n)
        }
        rest = run(plan, recorded, seeds=seeds)
        assert rest.keys() == outcomes.keys() - recorded.keys()
        for number, outcome in rest.items():
            assert equal(outcome, outcomes[number]), (n, number)


@pytest.fixture(scope="module")
def by_hyperband() -> dict[int, Outcome]:
    return run(schedule(hyperband=True))


@given(data=st.data())
def test_resumed_with_any_part_of_it(by_hyperband: dict[int, Outcome], data: st.DataObject) -> None:
    plan, outcomes = schedule(hyperband=True), by_hyperband
    planned = {trial.number: trial for trial in cohort()}
    kept_back = data.draw(st.sets(st.sampled_from(sorted(outcomes))))
    recorded = {
        number: finished(planned[number], outcome)
        for number, outcome in outcomes.items()
        if number not in kept_back
    }
    rest = run(plan, recorded)
    assert rest.keys() == kept_back
    assert all(equal(rest[number], outcomes[number]) for number in kept_back)


def test_what_is_trained_again_is_said() -> None:
    """The epochs of recorded trials that are trained for the sake of others in their stacks."""
    plan = schedule(rungs=RUNGS[-1:])
    outcomes = run(plan)
    planned = {trial.number: trial for trial in cohort()}
    lost = next(n for n, each in outcomes.items() if each.result.hyperparameters.batch_size == 8)
    recorded = {n: finished(planned[n], each) for n, each in outcomes.items() if n != lost}
    watch = Watching()
    assert run(plan, recorded, watch=watch).keys() == {lost}
    neighbours = [
        each.result for n, each in outcomes.items()
        if n != lost and each.result.hyperparameters.batch_size == 8
    ]  # fmt: skip
    assert watch.again == sum(result.stopped_epoch for result in neighbours)


@pytest.mark.parametrize("recorded", [0, 3])
def test_a_request_to_stop_ends_a_cohort_early(recorded: int) -> None:
    watch = Watching()
    outcomes = training(watch=watch).start(Cohort(cohort(), schedule(), (5,))).outcomes()
    for _ in range(recorded):
        next(outcomes)
    watch.stop = True
    assert len(list(outcomes)) < 12 - recorded


def test_leavers_are_handed_on_while_the_others_train() -> None:
    """The next rung is submitted before those that leave are recorded."""
    submitted: list[int] = []

    class Watched(InProcess):
        def run(self, jobs, watch):  # type: ignore[no-untyped-def]
            submitted.append(len(jobs))
            return super().run(jobs, watch)

    started = training(Watched([PROBLEM.data])).start(Cohort(cohort(), schedule(), (5,)))
    seen: Iterator[tuple[PlannedTrial, Outcome]] = started.outcomes()
    statuses = [outcome.result.status for _, outcome in itertools.islice(seen, 2)]
    assert statuses == [Status.DIVERGED, Status.PRUNED]
    assert len(submitted) == 2


@pytest.mark.parametrize("seeds", [(5,), (5, 6)])
def test_a_stack_is_kept_until_its_trials_are_recorded(seeds: tuple[int, ...]) -> None:
    """And not until the end of the cohort, which may be a whole grid."""
    alive: list[weakref.ref[object]] = []

    class Watched(InProcess):
        def run(self, jobs, watch):  # type: ignore[no-untyped-def]
            for stack in super().run(jobs, watch):
                alive.append(weakref.ref(stack.curves[0]))
                yield stack
                del stack

    trials = [
        PlannedTrial(n, Hyperparameters(0.01 * (1 + n), 1e-4, 2 ** (1 + n))) for n in range(6)
    ]
    plan = Schedule.of(range(6), (3,), 3, hyperband=False, seed=(0, 0))
    started = training(Watched([PROBLEM.data])).start(Cohort(trials, plan, seeds))
    for n, _ in enumerate(started.outcomes()):
        assert sum(each() is not None for each in alive) <= len(seeds), n
    assert len(alive) == 6 * len(seeds)


def test_replicates_are_means_over_seeds() -> None:
    seeds = (5, 6, 7)
    outcomes = run(schedule(rungs=(8,)), seeds=seeds)
    for batch_size in (8, 16):
        members = [each for each in cohort() if each.hyperparameters.batch_size == batch_size]
        alone = [
            train(
                PROBLEM.data,
                [each.hyperparameters for each in members],
                penalty=Penalty.SQUARED,
                epochs=8,
                seed=seed,
            )
            for seed in seeds
        ]
        for k, member in enumerate(members):
            outcome = outcomes[member.number]
            results = [each[k] for each in alone]
            if member.number in (DIVERGING, LATER):
                assert outcome.result.status is Status.DIVERGED
                assert outcome.spread is None
                continue
            mean = np.mean([each.curves.val_loss for each in results], axis=0)
            np.testing.assert_allclose(outcome.result.curves.val_loss, mean, rtol=1e-12)
            assert np.array_equal(outcome.result.weights, results[0].weights)
            assert outcome.spread is not None
            losses = [each.curves.val_loss[-1] for each in results]
            assert outcome.spread.val_loss_std == pytest.approx(np.std(losses, ddof=1))
            assert outcome.spread.val_loss_std > 0
            assert outcome.rungs == ()
