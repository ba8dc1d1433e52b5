"""Studies that are interrupted at any moment: they go on as if nothing had happened."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from driving import COHORT, DIGEST, SAMPLERS, TRIALS, drive, journal, sampled, sequence, stored
from optuna.trial import TrialState
from small_study import small_spec

from core.trainer.result import Hyperparameters
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.opening import load_study, open_study
from search.trials.finished_trial import FinishedTrial

# -- sampled studies ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, list[tuple[int, Hyperparameters]]]:
    return {}


@pytest.fixture(params=SAMPLERS)
def expected(
    request: pytest.FixtureRequest,
    settings: Settings,
    uninterrupted: dict[str, list[tuple[int, Hyperparameters]]],
) -> tuple[StudySpec, list[tuple[int, Hyperparameters]]]:
    """A sampled study and what it tries if nothing interrupts it."""
    spec = sampled(request.param)
    if request.param not in uninterrupted:
        home = replace(settings, home=settings.home / "uninterrupted")
        with open_study(spec, home, DIGEST) as study:
            assert drive(study) == TRIALS
            uninterrupted[request.param] = sequence(study.finished())
    return spec, uninterrupted[request.param]


Expected = tuple[StudySpec, list[tuple[int, Hyperparameters]]]


def test_cohorts(expected: Expected, settings: Settings) -> None:
    spec, tried = expected
    assert [number for number, _ in tried] == list(range(TRIALS))
    assert len({each for _, each in tried}) == TRIALS
    with open_study(spec, settings, DIGEST) as study:
        sizes = []
        while sum(sizes) < TRIALS:
            cohort = study.next_cohort()
            assert [trial.number for trial in cohort] == list(
                range(sum(sizes), sum(sizes) + len(cohort))
            )
            assert study.next_cohort() == cohort, "asking again asks for nothing new"
            sizes.append(len(cohort))
            drive(study, len(cohort))
        assert sizes == [8, 8, 6]


@pytest.mark.parametrize("every", [1, 3, COHORT, 11])
def test_interrupted_after_every_few_records(
    expected: Expected, settings: Settings, every: int
) -> None:
    spec, tried = expected
    for _ in range(0, TRIALS, every):
        with open_study(spec, settings, DIGEST) as study:
            drive(study, every)
            assert len(stored(settings)) <= TRIALS
    with open_study(spec, settings, DIGEST) as study:
        assert drive(study) == 0
        assert sequence(study.finished()) == tried
    assert len(stored(settings)) == TRIALS


def test_running_trials_of_a_dead_driver_are_adopted(
    expected: Expected, settings: Settings
) -> None:
    spec, tried = expected
    with open_study(spec, settings, DIGEST) as study:
        drive(study, COHORT + 3)
    states = [trial.state for trial in stored(settings)]
    assert len(states) == 2 * COHORT
    assert states[COHORT:].count(TrialState.RUNNING) == COHORT - 3
    with open_study(spec, settings, DIGEST) as study:
        cohort = study.next_cohort()
    assert [(trial.number, trial.hyperparameters) for trial in cohort] == tried[8:16]


def test_adopted_though_its_result_was_already_written(
    expected: Expected, settings: Settings
) -> None:
    """Killed between the attributes and the state: the state is the commit."""
    spec, tried = expected
    with open_study(spec, settings, DIGEST) as study:
        drive(study, 5)
    lines = journal(settings).read_bytes().splitlines(keepends=True)
    journal(settings).write_bytes(b"".join(lines[:-1]))
    with open_study(spec, settings, DIGEST) as study:
        assert len(study.finished()) == 4
        assert drive(study) == TRIALS - 4
        assert sequence(study.finished()) == tried


class Cut(NamedTuple):
    """A study whose journal was cut after a line, and continued.

    left: the trials that the cut left. found: those in the end. states: all, as Optuna has them.
    """

    left: list[FinishedTrial]
    found: list[FinishedTrial]
    states: Counter[TrialState]


@pytest.fixture(scope="module", params=SAMPLERS)
def cuts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[FinishedTrial], list[Cut]]:
    """The trials of a study of 5, and what becomes of it when its journal is cut after each of its
    lines."""
    settings = Settings(home=tmp_path_factory.mktemp("cut") / "runs", workers=2)
    spec = small_spec(sampler=request.param, trials=5, cohort=3)
    with open_study(spec, settings, DIGEST) as study:
        drive(study)
        uninterrupted = study.finished()
    lines = journal(settings).read_bytes().splitlines(keepends=True)
    made = next(n for n, line in enumerate(lines, 1) if DIGEST.encode() in line)
    cuts = []
    for end in range(made, len(lines)):
        journal(settings).write_bytes(b"".join(lines[:end]))
        with open_study(spec, settings, DIGEST) as study:
            left = study.finished()
            drive(study)
            found = study.finished()
        cuts.append(Cut(left, found, Counter(trial.state for trial in stored(settings))))
    return uninterrupted, cuts


@pytest.mark.xdist_group("cut")  # so that each is cut once
def test_cut_after_every_line(cuts: tuple[list[FinishedTrial], list[Cut]]) -> None:
    """Wherever a driver is killed, the study has exactly its trials in the end."""
    for left, found, states in cuts[1]:
        assert len(found) == 5
        assert set(map(repr, left)) <= set(map(repr, found))
        assert states[TrialState.RUNNING] == 0
        assert sum(states.values()) == 5


@pytest.mark.xdist_group("cut")
def test_cut_after_every_line_changes_no_hyperparameters(
    cuts: tuple[list[FinishedTrial], list[Cut]],
) -> None:
    """As if the study had never been interrupted."""
    uninterrupted, each = cuts
    for cut in each:
        assert sequence(cut.found) == sequence(uninterrupted)


def test_the_budget_may_grow_and_shrink(settings: Settings) -> None:
    with open_study(sampled("random", 10), settings, DIGEST) as study:
        assert drive(study) == 10
    with open_study(sampled("random", 5), settings, DIGEST) as study:
        assert drive(study) == 0
        assert study.next_cohort() == []
    with open_study(sampled("random", 21), settings, DIGEST) as study:
        assert drive(study) == 11
        tried = sequence(study.finished())
    with open_study(
        sampled("random", 21), replace(settings, home=settings.home / "b"), DIGEST
    ) as study:
        drive(study)
        assert sequence(study.finished()) == tried, "random trials depend on their number alone"


def test_cohorts_are_known_though_the_budget_grew(settings: Settings) -> None:
    """So that lost runs are trained again in the stacks that they were in."""
    asked = []
    for trials in (10, 21):
        with open_study(sampled("random", trials), settings, DIGEST) as study:
            while cohort := study.next_cohort():
                asked.append(cohort)
                drive(study, len(cohort))
    assert [len(cohort) for cohort in asked] == [8, 2, 8, 3]
    assert load_study(sampled("random", 21), settings).cohorts() == asked


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampled_values_lie_in_the_space(settings: Settings, sampler: str) -> None:
    spec = small_spec(sampler=sampler, trials=40, cohort=40, weight_decay=[0.5, 0.0, 0.125])
    with open_study(spec, settings, DIGEST) as study:
        tried = [trial.hyperparameters for trial in study.next_cohort()]
    assert {each.batch_size for each in tried} == {8, 16}
    assert {each.weight_decay for each in tried} == {0.5, 0.0, 0.125}
    rates = np.log10([each.learning_rate for each in tried])
    assert -3 <= rates.min() < -2.5
    assert -0.5 < rates.max() <= 0


def test_the_seed_decides_what_is_sampled(settings: Settings) -> None:
    cohorts = []
    for seed in (0, 1):
        spec = small_spec({"search.seed": seed}, sampler="random", trials=8)
        with open_study(spec, replace(settings, home=settings.home / str(seed)), DIGEST) as study:
            cohorts.append({each.hyperparameters for each in study.next_cohort()})
    assert cohorts[0].isdisjoint(cohorts[1])


# -- torn journals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [small_spec(learning_rate=[0.1, 1.0], weight_decay=[0.0]), sampled("random", 5)],
    ids=["grid", "random"],
)
def test_torn_at_every_byte_of_its_last_record(settings: Settings, spec: StudySpec) -> None:
    """What is left is the same each time, so not each time all that follows is done."""
    with open_study(spec, settings, DIGEST) as study:
        drive(study, 2)
        kept = list(map(repr, study.finished()))
        drive(study, 1)
        found = list(map(repr, study.finished()))
    content = journal(settings).read_bytes()
    last = content[:-1].rfind(b"\n") + 1
    assert len(content) - last > 20
    for end in range(last, len(content)):
        journal(settings).write_bytes(content[:end])
        with open_study(spec, settings, DIGEST) as study:
            assert list(map(repr, study.finished())) == kept
            assert journal(settings).read_bytes().startswith(content[:last] + b"{")
            if goes_on := end % 8 == 0 or not 3 < end - last < len(content) - last - 3:
                assert drive(study, 1) == 1
        if goes_on:
            assert list(map(repr, load_study(spec, settings).finished())) == found


def test_torn_while_it_was_made(settings: Settings) -> None:
    spec = small_spec()
    with open_study(spec, settings, DIGEST):
        pass
    content = journal(settings).read_bytes()
    places = {*range(0, len(content), 37)}
    places |= {place + 1 for place, byte in enumerate(content) if byte == ord("\n")}
    for end in sorted(places):
        journal(settings).write_bytes(content[:end])
        with open_study(spec, settings, DIGEST) as study:
            assert drive(study, 1) == 1, f"cut after byte {end}"


def test_a_torn_journal_can_be_shown(settings: Settings) -> None:
    with open_study(small_spec(), settings, DIGEST) as study:
        drive(study, 3)
    content = journal(settings).read_bytes()
    journal(settings).write_bytes(content[:-20])
    assert len(load_study(small_spec(), settings).finished()) == 2
    assert journal(settings).read_bytes() == content[:-20], "reading changes nothing"


def test_a_lock_left_behind_does_not_delay(settings: Settings) -> None:
    with open_study(small_spec(), settings, DIGEST) as study:
        drive(study, 1)
    lock = Path(f"{journal(settings)}.lock")
    lock.symlink_to(journal(settings))
    started = time.monotonic()
    assert len(load_study(small_spec(), settings).finished()) == 1
    with open_study(small_spec(), settings, DIGEST) as study:
        assert drive(study, 1) == 1
    assert time.monotonic() - started < 25, "Optuna would wait 30 s for it"
    assert not lock.is_symlink()
