"""Samplers over lists, which suggest configurations again: each is trained once."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from driving import DIGEST, drive, journal, stored
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import make_result
from small_study import Options, small_spec

from core.trainer.result import Hyperparameters, Status
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.opening import open_study
from search.trials.finals import Finalist, Finals, due
from search.trials.finished_trial import FinishedTrial
from search.trials.repeats import NOTHING_NEW, Exhausted, distinct, exhausted, trained

LISTS: Options = {
    "learning_rate": [0.01, 0.1],
    "weight_decay": [0.0, 0.25],
    "batch_size": [16],
    "trials": 12,
    "cohort": 4,
}
SAMPLERS = ["random", "qmc", "tpe"]


def check(spec: StudySpec, found: list[FinishedTrial]) -> None:
    """Each configuration is trained once, and its repeats have its result and its run."""
    by_number = {trial.number: trial for trial in found}
    assert list(by_number) == list(range(len(found)))
    tried = [trial.hyperparameters for trial in trained(found)]
    assert len(set(tried)) == len(tried), "none is trained twice"
    for trial in found:
        if trial.repeats is not None:
            first = by_number[trial.repeats]
            assert first.repeats is None
            assert first.number < trial.number
            assert repr(replace(trial, number=first.number, repeats=None)) == repr(first)
    if len(set(tried)) < (spec.configurations() or 0):
        assert len(found) == spec.search.trials, "it ends early only if nothing is left"


@settings(max_examples=8)
@given(
    sampler=st.sampled_from(SAMPLERS),
    rates=st.integers(1, 4),
    cohort=st.integers(1, 9),
    trials=st.integers(1, 20),
    seed=st.integers(0, 99),
    every=st.integers(1, 5),
)
def test_each_configuration_is_trained_once_however_it_is_interrupted(
    sampler: str, rates: int, cohort: int, trials: int, seed: int, every: int
) -> None:
    own: Options = {"trials": trials, "cohort": cohort, "sampler": sampler}
    own |= {"learning_rate": [0.01, 0.1, 0.2, 0.3][:rates]}
    spec = small_spec({"search.seed": seed}, **{**LISTS, **own})
    with tempfile.TemporaryDirectory() as folder:
        homes = [Settings(home=Path(folder, name)) for name in ("undisturbed", "interrupted")]
        with open_study(spec, homes[0], DIGEST) as study:
            drive(study)
            expected = study.finished()
        check(spec, expected)
        trained_now = every
        while trained_now == every:
            with open_study(spec, homes[1], DIGEST) as study:
                trained_now = drive(study, every)
                found = study.finished()
        assert list(map(repr, found)) == list(map(repr, expected))


def test_killed_after_every_line_of_its_journal(settings: Settings) -> None:
    """While it asks, while it records a repeat, and between."""
    spec = small_spec(**{**LISTS, "sampler": "tpe", "trials": 6, "cohort": 3})
    with open_study(spec, settings, DIGEST) as study:
        drive(study)
        expected = list(map(repr, study.finished()))
        assert len(trained(study.finished())) < len(expected)
    lines = journal(settings).read_bytes().splitlines(keepends=True)
    made = next(n for n, line in enumerate(lines, 1) if DIGEST.encode() in line)
    for end in range(made, len(lines)):
        journal(settings).write_bytes(b"".join(lines[:end]))
        with open_study(spec, settings, DIGEST) as study:
            drive(study)
            assert list(map(repr, study.finished())) == expected, f"cut after line {end}"


def test_a_cohort_of_an_earlier_version_is_finished_as_it_was_begun(settings: Settings) -> None:
    """Then repeats were trained, and stacks had them; what follows trains none."""
    own: Options = {"sampler": "random", "learning_rate": [0.01, 0.1, 0.2]}
    spec = small_spec({"search.seed": 1}, **{**LISTS, **own})
    with open_study(spec, settings, DIGEST) as study:
        drive(study, 1)
    lines = journal(settings).read_bytes().splitlines(keepends=True)
    earlier = [line for line in lines if b"lockstep.cohort_starts" not in line]
    assert len(earlier) == len(lines) - 1
    journal(settings).write_bytes(b"".join(earlier))
    with open_study(spec, settings, DIGEST) as study:
        first = study.next_cohort()
        assert [trial.number for trial in first] == [0, 1, 2, 3]
        assert len({trial.hyperparameters for trial in first}) < 4, "one of them is a repeat"
        assert study.cohorts() == [first]
        drive(study)
        found = study.finished()
    assert all(trial.repeats is None for trial in found[:4])
    assert any(trial.repeats is not None for trial in found[4:])
    later = [trial.hyperparameters for trial in trained(found[4:])]
    assert len(set(later)) == len(later)
    assert {trial.hyperparameters for trial in found[:4]}.isdisjoint(later)


def test_repeats_cost_no_epochs(settings: Settings) -> None:
    spec = small_spec(
        {"search.epochs": 15}, **{**LISTS, "sampler": "random", "trials": None}
    )  # of 5 a trial
    with open_study(spec, settings, DIGEST) as study:
        drive(study)
        found = study.finished()
        assert study.epochs_trained == 15
    assert len(trained(found)) == 3


def test_a_repeat_follows_the_run_that_is_rewritten(settings: Settings) -> None:
    spec = small_spec(**{**LISTS, "sampler": "random"})
    with open_study(spec, settings, DIGEST) as study:
        drive(study)
        repeat = next(trial for trial in study.finished() if trial.repeats is not None)
        assert repeat.repeats is not None
        study.record_run(repeat.repeats, "rewritten")
        assert study.finished()[repeat.number].run_id == "rewritten"
        assert all(trial.number != repeat.number for each in study.cohorts() for trial in each)
    shown = stored(settings)[repeat.number]
    assert shown.user_attrs["lockstep.repeats"] == repeat.repeats
    assert shown.value == repeat.val_loss


# -- when nothing is left ----------------------------------------------------------------------


def made(*tried: Hyperparameters, status: Status = Status.COMPLETED) -> list[FinishedTrial]:
    """Trials of these configurations; those that another one has had repeat it."""
    found = []
    for number, each in enumerate(tried):
        first = tried.index(each)
        trial = FinishedTrial.of(number, make_result(each, status), f"run {first}")
        found.append(replace(trial, repeats=None if first == number else first))
    return found


A, B, C = (Hyperparameters(rate, 0.0, 16) for rate in (0.1, 0.01, 0.001))


def test_a_search_ends_when_all_is_tried() -> None:
    spec = small_spec(**{**LISTS, "sampler": "tpe", "weight_decay": [0.0]})
    assert exhausted(spec, made(A, A, A)) is None
    assert exhausted(spec, made(A, A, B)) is Exhausted.ALL_TRIED
    assert exhausted(small_spec(), made(A, B)) is None, "a grid knows its end"


def test_a_search_ends_when_its_sampler_has_settled() -> None:
    """Without it a budget of epochs or minutes would last for ever."""
    spec = small_spec(**{**LISTS, "sampler": "tpe"})
    assert exhausted(spec, made(B, *[A] * NOTHING_NEW)) is None
    assert exhausted(spec, made(B, *[A] * (NOTHING_NEW + 1))) is Exhausted.NOTHING_NEW
    wide = small_spec(**{**LISTS, "sampler": "tpe", "trials": 500, "cohort": 300})
    assert exhausted(wide, made(*[A] * 300)) is None, "at least a cohort of them"


def test_ranges_have_no_number_of_configurations() -> None:
    assert small_spec(sampler="random", trials=9).configurations() is None
    assert small_spec(**{**LISTS, "sampler": "random"}).configurations() == 4
    assert small_spec().configurations() == 24


# -- evidence ----------------------------------------------------------------------------------


def test_finalists_are_different_configurations() -> None:
    spec = small_spec(**{**LISTS, "sampler": "random"}, finalists=2)
    found = made(A, A, A, B, C)
    assert [trial.number for trial in due(spec, found, None)] == [0, 3]
    judged = Finals(tuple(Finalist(n, 1.0, 0.5, 0.1, 0.1) for n in (0, 3)), (1, 2, 3))
    assert due(spec, found, judged) == []


def test_finals_of_an_earlier_version_stay() -> None:
    """It trained repeats, and judged them like other trials."""
    spec = small_spec(**{**LISTS, "sampler": "random"}, finalists=2)
    earlier = [replace(trial, repeats=None) for trial in made(A, A, B)]
    judged = Finals(tuple(Finalist(n, 1.0, 0.5, 0.1, 0.1) for n in (0, 1)), (1, 2, 3))
    assert due(spec, earlier, judged) == []
    assert [trial.number for trial in due(spec, earlier, None)] == [0, 2]


def test_one_trial_of_each_configuration_is_evidence() -> None:
    """The one that is ranked best, or else the one that was trained longest."""
    objective = small_spec().search.objective
    found = made(B, A, A, A, C, C)
    found[1] = replace(found[1], status=Status.PRUNED, stopped_epoch=2)
    found[3] = replace(found[3], val_loss=found[3].val_loss - 1e-9)
    found[4] = replace(found[4], status=Status.PRUNED, stopped_epoch=2)
    found[5] = replace(found[5], status=Status.PRUNED, stopped_epoch=4)
    assert [trial.number for trial in distinct(found, objective)] == [0, 3, 5]
