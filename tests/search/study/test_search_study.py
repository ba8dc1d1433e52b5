from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from core.trainer.result import Curves, Hyperparameters, Status, TrainingResult
from search.commands.report import note
from search.errors import LockstepError, NothingToShowError, StudyBusyError, StudyChangedError
from search.settings import Settings
from search.spec.objective import Objective
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions
from search.study.opening import load_study, open_study
from search.study.search_study import SearchStudy
from search.training.stacks import stacks
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.trial import PlannedTrial

MakeSpec = Callable[..., StudySpec]
MakeResult = Callable[..., TrainingResult]

DIGEST = "0123abcd"
TRIALS, COHORT = 30, 8  # of the sampled studies: the last cohort is not a full one
SAMPLERS = ["random", "qmc", "tpe", "cmaes"]


@pytest.fixture
def sampled(make_spec: MakeSpec) -> Callable[..., StudySpec]:
    def make(sampler: str, trials: int = TRIALS, cohort: int = COHORT) -> StudySpec:
        keys = f'sampler = "{sampler}"\ntrials = {trials}\ncohort = {cohort}'
        return make_spec(('sampler = "grid"', keys))

    return make


@pytest.fixture
def drive(make_result: MakeResult) -> Callable[..., int]:
    """Record up to ``most`` trials of an open study in the order of a launch; how many it were."""

    def run(study: SearchStudy, most: float = math.inf) -> int:
        finished = {trial.number for trial in study.finished()}
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
                result = make_result(planned.hyperparameters, status)
                study.record(FinishedTrial.of(planned.number, result, f"run {planned.number}"))
                finished.add(planned.number)
                recorded += 1
        return recorded

    return run


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


# -- opening -----------------------------------------------------------------------------------


def test_a_new_study_is_empty(make_spec: MakeSpec, settings: Settings) -> None:
    spec = make_spec()
    with open_study(spec, settings, DIGEST) as study:
        assert study.spec is spec
        assert study.budget == 24
        assert study.finished() == []
        assert study.next_cohort() == [PlannedTrial(*each) for each in enumerate(grid(spec.space))]
    assert journal(settings).is_file()


@pytest.mark.parametrize("sampler", ["grid", *SAMPLERS])
def test_reopening_continues(
    make_spec: MakeSpec,
    sampled: Callable[..., StudySpec],
    drive: Callable[..., int],
    settings: Settings,
    sampler: str,
) -> None:
    spec = make_spec() if sampler == "grid" else sampled(sampler)
    with open_study(spec, settings, DIGEST) as study:
        assert drive(study, 5) == 5
        before = study.finished()
        assert len(before) == 5
    with open_study(spec, settings, DIGEST) as study:
        assert list(map(repr, study.finished())) == list(map(repr, before))
        assert drive(study) == study.budget - 5
    with open_study(spec, settings, DIGEST) as study:
        assert drive(study) == 0
        found = study.finished()
        assert [trial.number for trial in found] == list(range(study.budget))
        assert set(map(repr, before)) <= set(map(repr, found))


@pytest.mark.parametrize("sampler", ["grid", *SAMPLERS])
@pytest.mark.parametrize("trials", [24, TRIALS])
def test_no_cohort_follows_the_last(
    make_spec: MakeSpec,
    sampled: Callable[..., StudySpec],
    drive: Callable[..., int],
    settings: Settings,
    sampler: str,
    trials: int,
) -> None:
    with open_study(
        make_spec() if sampler == "grid" else sampled(sampler, trials), settings, DIGEST
    ) as study:
        drive(study)
        assert study.next_cohort() == []


def test_a_changed_study_file_is_refused(make_spec: MakeSpec, settings: Settings) -> None:
    with open_study(make_spec(), settings, DIGEST):
        pass
    changed = make_spec(("epochs = 5", "epochs = 6"), ("[16, 8]", "[8, 16]"))
    with pytest.raises(StudyChangedError) as caught, open_study(changed, settings, DIGEST):
        pass
    message = str(caught.value)
    assert "model.epochs: 5 → 6" in message
    assert "space.batch_size: [16, 8] → [8, 16]" in message
    assert "new name" in message
    assert len(message.splitlines()) == 1
    with open_study(make_spec(), settings, DIGEST) as study:
        assert study.finished() == []


def test_what_does_not_define_a_study_may_change(make_spec: MakeSpec, settings: Settings) -> None:
    with open_study(make_spec(), settings, DIGEST):
        pass
    changed = make_spec(("a small study", "renamed"), ("learning_rate = 0.001", "learning_rate=1"))
    with open_study(changed, settings, DIGEST):
        pass


def test_changed_data_are_refused(make_spec: MakeSpec, settings: Settings) -> None:
    with open_study(make_spec(), settings, DIGEST):
        pass
    with (
        pytest.raises(StudyChangedError, match="the data's content"),
        open_study(make_spec(), settings, "another"),
    ):
        pass


def test_a_study_has_one_driver_at_a_time(make_spec: MakeSpec, settings: Settings) -> None:
    spec = make_spec()
    with (
        open_study(spec, settings, DIGEST),
        pytest.raises(StudyBusyError, match=f"process {os.getpid()} "),
        open_study(spec, settings, DIGEST),
    ):
        pass
    with open_study(spec, settings, DIGEST):
        pass


def test_studies_are_apart(
    make_spec: MakeSpec, settings: Settings, drive: Callable[..., int]
) -> None:
    other = make_spec(('"small"', '"other"'), ("epochs = 5", "epochs = 7"))
    with (
        open_study(make_spec(), settings, DIGEST) as small,
        open_study(other, settings, DIGEST) as another,
    ):
        drive(small, 3)
        assert another.finished() == []


# -- recording ---------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("sampler", ["grid", *SAMPLERS])
def test_what_optuna_shows_of_a_result(
    make_spec: MakeSpec,
    make_result: MakeResult,
    settings: Settings,
    sampler: str,
    objective: str,
) -> None:
    keys = "" if sampler == "grid" else "\ntrials = 4\ncohort = 4"
    spec = make_spec(
        ('sampler = "grid"', f'sampler = "{sampler}"{keys}'), ('"val_loss"', f'"{objective}"')
    )
    with open_study(spec, settings, DIGEST) as study:
        recorded = []
        for planned, status in zip(
            study.next_cohort(), [Status.COMPLETED, Status.DIVERGED, Status.COMPLETED], strict=False
        ):
            result = make_result(planned.hyperparameters, status)
            recorded.append(FinishedTrial.of(planned.number, result, f"run {planned.number}"))
            study.record(recorded[-1])
        assert list(map(repr, study.finished())) == list(map(repr, recorded))
    first, failed, last = stored(settings)[:3]
    assert [each.state for each in (first, failed, last)] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]
    assert first.value == getattr(recorded[0], objective)
    assert failed.value is None
    for trial, ours in zip((first, failed, last), recorded, strict=True):
        assert trial.number == ours.number
        assert trial.params == asdict(ours.hyperparameters)
        assert trial.user_attrs["mlflow.run_id"] == ours.run_id
    assert failed.user_attrs["lockstep.result"]["val_loss"] is None
    assert failed.user_attrs["lockstep.result"]["stopped_epoch"] == 5


@pytest.mark.parametrize("sampler", ["grid", *SAMPLERS])
def test_a_pruned_trial(
    make_spec: MakeSpec, make_result: MakeResult, settings: Settings, sampler: str
) -> None:
    keys = "" if sampler == "grid" else "\ntrials = 4\ncohort = 4"
    spec = make_spec(('sampler = "grid"', f'sampler = "{sampler}"{keys}'))
    with open_study(spec, settings, DIGEST) as study:
        planned = study.next_cohort()[0]
        result = make_result(planned.hyperparameters, Status.PRUNED, epochs=2)
        study.record(FinishedTrial.of(planned.number, result, "run"))
        (pruned,) = study.finished()
        assert (pruned.status, pruned.stopped_epoch) == (Status.PRUNED, 2)
        assert ranked([pruned], Objective.LOSS) == []
    assert stored(settings)[0].state is TrialState.PRUNED


def test_optuna_knows_which_way_is_better(
    make_spec: MakeSpec, settings: Settings, drive: Callable[..., int]
) -> None:
    for objective in Objective:
        home = replace(settings, home=settings.home / objective)
        spec = make_spec(('"val_loss"', f'"{objective}"'))
        with open_study(spec, home, DIGEST) as study:
            drive(study)
            best = ranked(study.finished(), objective)[0]
        storage = JournalStorage(JournalFileBackend(str(journal(home))))
        known = optuna.load_study(study_name="small", storage=storage).best_trial
        assert known.value == getattr(best, objective)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_recording_twice_is_refused(
    sampled: Callable[..., StudySpec], make_result: MakeResult, settings: Settings, sampler: str
) -> None:
    with open_study(sampled(sampler), settings, DIGEST) as study:
        planned = study.next_cohort()[0]
        trial = FinishedTrial.of(0, make_result(planned.hyperparameters), "run")
        study.record(trial)
        with pytest.raises(Exception, match=r"finished|COMPLETE"):
            study.record(trial)
        assert study.finished() == [trial]


# -- finished trials ---------------------------------------------------------------------------

floats = st.floats(allow_nan=True, allow_infinity=True)


@given(
    values=st.lists(st.tuples(floats, floats, floats, floats), min_size=1, max_size=6),
    status=st.sampled_from(Status),
)
def test_round_trip_through_optuna(
    make_spec: MakeSpec, values: list[tuple[float, ...]], status: Status
) -> None:
    """What is not finite comes back as nan."""
    tried = grid(make_spec().space)[7]
    curves = Curves(*np.array(values).T)
    result = TrainingResult(tried, np.zeros((6, 2), np.float32), curves, status, len(curves))
    trial = FinishedTrial.of(3, result, "abc")
    attributes = json.loads(json.dumps(trial.attributes(), allow_nan=False))
    frozen = create_trial(
        state=TrialState.FAIL,
        params=asdict(tried),
        distributions=distributions(make_spec().space),
        user_attrs=attributes,
    )
    frozen.number = 3
    back = FinishedTrial.from_optuna(frozen)
    for key, value in asdict(trial).items():
        other = asdict(back)[key]
        if isinstance(value, float) and not math.isfinite(value):
            assert math.isnan(other)
        else:
            assert other == value
            assert type(other) is type(value)


def test_best_epoch(make_result: MakeResult) -> None:
    tried = Hyperparameters(0.1, 0.0, 8)
    result = make_result(tried, epochs=4)
    result.curves.val_loss[:] = [0.5, math.nan, 0.25, 0.375]
    trial = FinishedTrial.of(0, result, "run")
    assert (trial.best_epoch, trial.best_val_loss, trial.val_loss) == (3, 0.25, 0.375)


def test_scores_of_a_diverged_trial_are_nan(make_result: MakeResult) -> None:
    result = make_result(Hyperparameters(0.1, 0.0, 8), Status.DIVERGED, epochs=1)
    trial = FinishedTrial.of(0, result, "run")
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "best_val_loss"):
        assert math.isnan(getattr(trial, name))
    assert (trial.best_epoch, trial.stopped_epoch) == (1, 1)


def test_ranking(make_result: MakeResult) -> None:
    template = FinishedTrial.of(0, make_result(Hyperparameters(0.1, 0.0, 8)), "run")

    def trial(number: int, loss: float, accuracy: float, **others: Status) -> FinishedTrial:
        return replace(template, number=number, val_loss=loss, val_accuracy=accuracy, **others)

    trials = [
        trial(4, 0.3, 0.9),
        trial(3, 0.2, 0.8),
        trial(2, 0.2, 0.9),
        trial(1, 0.2, 0.9),
        trial(5, 0.1, 0.7),
        trial(6, 0.0, 1.0, status=Status.PRUNED),
        trial(7, math.nan, math.nan, status=Status.DIVERGED),
    ]
    for order in (trials, trials[::-1]):
        assert [each.number for each in ranked(order, Objective.LOSS)] == [5, 1, 2, 3, 4]
        assert [each.number for each in ranked(order, Objective.ACCURACY)] == [1, 2, 4, 3, 5]
    assert ranked([], Objective.LOSS) == []


# -- sampled studies that are interrupted ------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, list[tuple[int, Hyperparameters]]]:
    return {}


@pytest.fixture(params=SAMPLERS)
def expected(
    request: pytest.FixtureRequest,
    sampled: Callable[..., StudySpec],
    drive: Callable[..., int],
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


def test_cohorts(expected: Expected, drive: Callable[..., int], settings: Settings) -> None:
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
        assert sizes == [8, 8, 8, 6]


@pytest.mark.parametrize("every", [1, 3, COHORT, 11])
def test_interrupted_after_every_few_records(
    expected: Expected, drive: Callable[..., int], settings: Settings, every: int
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
    expected: Expected, drive: Callable[..., int], settings: Settings
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
    expected: Expected, drive: Callable[..., int], settings: Settings
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


@pytest.fixture(params=SAMPLERS)
def cut(
    request: pytest.FixtureRequest,
    sampled: Callable[..., StudySpec],
    drive: Callable[..., int],
    settings: Settings,
) -> Callable[[], Iterator[tuple[list[FinishedTrial], list[FinishedTrial], list[FinishedTrial]]]]:
    """A study of 7 trials whose journal is cut after each of its lines and continued: the trials of
    the uninterrupted study, those that the cut left, and those in the end."""
    spec = sampled(request.param, trials=7, cohort=4)

    def each() -> Iterator[tuple[list[FinishedTrial], list[FinishedTrial], list[FinishedTrial]]]:
        with open_study(spec, settings, DIGEST) as study:
            drive(study)
            uninterrupted = study.finished()
        lines = journal(settings).read_bytes().splitlines(keepends=True)
        made = next(n for n, line in enumerate(lines, 1) if DIGEST.encode() in line)
        for end in range(made, len(lines)):
            journal(settings).write_bytes(b"".join(lines[:end]))
            with open_study(spec, settings, DIGEST) as study:
                left = study.finished()
                drive(study)
                yield uninterrupted, left, study.finished()

    return each


Cut = Callable[[], Iterator[tuple[list[FinishedTrial], list[FinishedTrial], list[FinishedTrial]]]]


def test_cut_after_every_line(cut: Cut, settings: Settings) -> None:
    """Wherever a driver is killed, the study has exactly its trials in the end."""
    for _, left, found in cut():
        assert len(found) == 7
        assert set(map(repr, left)) <= set(map(repr, found))
        states = Counter(trial.state for trial in stored(settings))
        assert states[TrialState.RUNNING] == 0
        assert sum(states.values()) == 7


def test_cut_after_every_line_changes_no_hyperparameters(cut: Cut) -> None:
    """As if the study had never been interrupted."""
    for uninterrupted, _, found in cut():
        assert sequence(found) == sequence(uninterrupted)


def test_the_budget_may_grow_and_shrink(
    sampled: Callable[..., StudySpec], drive: Callable[..., int], settings: Settings
) -> None:
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


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampled_values_lie_in_the_space(
    make_spec: MakeSpec, settings: Settings, sampler: str
) -> None:
    spec = make_spec(
        ('"grid"', f'"{sampler}"\ntrials = 40\ncohort = 40'),
        ("{ low = 0.0, high = 0.5, points = 3 }", "[0.5, 0.0, 0.125]"),
    )
    with open_study(spec, settings, DIGEST) as study:
        tried = [trial.hyperparameters for trial in study.next_cohort()]
    assert {each.batch_size for each in tried} == {8, 16}
    assert {each.weight_decay for each in tried} == {0.5, 0.0, 0.125}
    rates = np.log10([each.learning_rate for each in tried])
    assert -3 <= rates.min() < -2.5
    assert -0.5 < rates.max() <= 0


def test_the_seed_decides_what_is_sampled(make_spec: MakeSpec, settings: Settings) -> None:
    cohorts = []
    for seed in (0, 1):
        spec = make_spec(
            ('"grid"', '"random"\ntrials = 8'),
            ("seed = 0\n[baseline]", f"seed = {seed}\n[baseline]"),
        )
        with open_study(spec, replace(settings, home=settings.home / str(seed)), DIGEST) as study:
            cohorts.append({each.hyperparameters for each in study.next_cohort()})
    assert cohorts[0].isdisjoint(cohorts[1])


# -- torn journals -----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_torn_at_every_byte_of_its_last_record(
    make_spec: MakeSpec,
    sampled: Callable[..., StudySpec],
    drive: Callable[..., int],
    settings: Settings,
    sampler: str,
) -> None:
    spec = make_spec() if sampler == "grid" else sampled(sampler)
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
            assert drive(study, 1) == 1
        assert list(map(repr, load_study(spec, settings).finished())) == found


def test_torn_while_it_was_made(
    make_spec: MakeSpec, drive: Callable[..., int], settings: Settings
) -> None:
    spec = make_spec()
    with open_study(spec, settings, DIGEST):
        pass
    content = journal(settings).read_bytes()
    places = {*range(0, len(content), 37)}
    places |= {place + 1 for place, byte in enumerate(content) if byte == ord("\n")}
    for end in sorted(places):
        journal(settings).write_bytes(content[:end])
        with open_study(spec, settings, DIGEST) as study:
            assert drive(study, 1) == 1, f"cut after byte {end}"


def test_a_torn_journal_can_be_shown(
    make_spec: MakeSpec, drive: Callable[..., int], settings: Settings
) -> None:
    with open_study(make_spec(), settings, DIGEST) as study:
        drive(study, 3)
    content = journal(settings).read_bytes()
    journal(settings).write_bytes(content[:-20])
    assert len(load_study(make_spec(), settings).finished()) == 2
    assert journal(settings).read_bytes() == content[:-20], "reading changes nothing"


def test_a_lock_left_behind_does_not_delay(
    make_spec: MakeSpec, drive: Callable[..., int], settings: Settings
) -> None:
    with open_study(make_spec(), settings, DIGEST) as study:
        drive(study, 1)
    lock = Path(f"{journal(settings)}.lock")
    lock.symlink_to(journal(settings))
    started = time.monotonic()
    assert len(load_study(make_spec(), settings).finished()) == 1
    with open_study(make_spec(), settings, DIGEST) as study:
        assert drive(study, 1) == 1
    assert time.monotonic() - started < 25, "Optuna would wait 30 s for it"
    assert not lock.is_symlink()


# -- other storages ----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_sqlite(
    make_spec: MakeSpec,
    sampled: Callable[..., StudySpec],
    drive: Callable[..., int],
    settings: Settings,
    tmp_path: Path,
    sampler: str,
) -> None:
    spec = make_spec() if sampler == "grid" else sampled(sampler, 12)
    elsewhere = replace(settings, storage=f"sqlite:///{tmp_path}/study.db")
    with open_study(spec, elsewhere, DIGEST) as study:
        drive(study, 5)
    with open_study(spec, elsewhere, DIGEST) as study:
        assert len(study.finished()) == 5
        drive(study)
        found = study.finished()
    assert [trial.number for trial in found] == list(range(study.budget))
    assert len(stored(elsewhere)) == study.budget
    with open_study(spec, settings, DIGEST) as study:
        drive(study)
        assert list(map(repr, study.finished())) == list(map(repr, found)), "as in a journal"
    assert list(map(repr, load_study(spec, elsewhere).finished())) == list(map(repr, found))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@127.0.0.1:1/db",
        "postgresql://:s3cret@127.0.0.1:1/db",
        "mysql+nothing://me:s3cret@host/db",
        "nothing://me:s3cret@host/db",
        "nothing://me:s3cret@host:port/db",
        "postgresql://me:s3cret@[::1/db",
        "nothing://host/db?user=me&password=s3cret",
        "s3cret@host",
        "sqlite:////nowhere/at/all/study.db",
        "",
    ],
)
def test_a_storage_that_cannot_be_opened(make_spec: MakeSpec, settings: Settings, url: str) -> None:
    elsewhere = replace(settings, storage=url)
    for use in (
        lambda: load_study(make_spec(), elsewhere),
        lambda: open_study(make_spec(), elsewhere, DIGEST).__enter__(),
    ):
        with pytest.raises(LockstepError) as caught:
            use()
        message = str(caught.value)
        assert message.startswith("--storage ")
        assert len(message.splitlines()) == 1
        assert ":s3cret" not in message
        assert "=s3cret" not in message


@pytest.mark.parametrize("sampler", ["grid", "random"])
@pytest.mark.parametrize("database", [False, True])
def test_a_first_launch_that_fails_without_a_result_leaves_no_study(
    make_spec: MakeSpec,
    sampled: Callable[..., StudySpec],
    drive: Callable[..., int],
    settings: Settings,
    tmp_path: Path,
    sampler: str,
    database: bool,
) -> None:
    spec = make_spec() if sampler == "grid" else sampled(sampler)
    if database:
        settings = replace(settings, storage=f"sqlite:///{tmp_path}/study.db")

    def failed_launch(recorded: int) -> None:
        with contextlib.suppress(LockstepError), open_study(spec, settings, DIGEST) as study:
            drive(study, recorded)
            study.next_cohort()
            raise LockstepError("the server does not answer")

    failed_launch(0)
    assert not settings.home.exists()
    with pytest.raises(NothingToShowError):
        load_study(spec, settings)
    failed_launch(1)
    failed_launch(0)
    assert len(load_study(spec, settings).finished()) == 1, "what has a result stays"


def test_a_trial_of_the_grid_is_recorded_in_its_place(
    make_spec: MakeSpec, make_result: MakeResult, settings: Settings
) -> None:
    with open_study(make_spec(), settings, DIGEST) as study:
        for number in (0, 2):
            planned = study.next_cohort()[number]
            trial = FinishedTrial.of(number, make_result(planned.hyperparameters), "run")
            if number == 0:
                study.record(trial)
            else:
                with pytest.raises(ValueError, match="trial 2 recorded in the place of 1"):
                    study.record(trial)
    assert len(stored(settings)) == 1


# -- reading -----------------------------------------------------------------------------------


def test_a_study_that_was_never_launched(
    make_spec: MakeSpec, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(NothingToShowError, match=r"small has not been launched: run `lockstep"):
        load_study(make_spec(), settings)
    assert not settings.home.exists(), "looking creates nothing"
    elsewhere = replace(settings, storage=f"sqlite:///{tmp_path}/study.db")
    with pytest.raises(NothingToShowError, match="has not been launched"):
        load_study(make_spec(), elsewhere)


def test_a_study_whose_launch_was_killed_at_once(make_spec: MakeSpec, settings: Settings) -> None:
    journal(settings).parent.mkdir(parents=True)
    for content in (b"", b'{"op_code": 0, "wor'):
        journal(settings).write_bytes(content)
        with pytest.raises(NothingToShowError, match="has not been launched"):
            load_study(make_spec(), settings)


def test_reading_while_a_driver_writes(
    make_spec: MakeSpec, drive: Callable[..., int], settings: Settings
) -> None:
    with open_study(make_spec(), settings, DIGEST) as study:
        drive(study, 2)
        assert len(load_study(make_spec(), settings).finished()) == 2
        drive(study, 1)
        assert len(load_study(make_spec(), settings).finished()) == 3


def test_uses_of_the_test_set_are_counted(make_spec: MakeSpec, settings: Settings) -> None:
    first, second = {"trial": 3, "run_id": "a"}, {"trial": 3, "run_id": "b"}
    with open_study(make_spec(), settings, DIGEST) as study:
        assert study.test_evaluations() == []
        study.record_test_evaluation(first)
        assert study.test_evaluations() == [first]
    with open_study(make_spec(), settings, DIGEST) as study:
        study.record_test_evaluation(second)
    assert load_study(make_spec(), settings).test_evaluations() == [first, second]


# -- what is told of it ------------------------------------------------------------------------


def told(spec: StudySpec, make_result: MakeResult, *tried: Hyperparameters) -> str:
    """The note on a study of these trials, of which the first is the best."""
    trials = []
    for number, each in enumerate(tried):
        result = make_result(each)
        result.curves.val_loss[:] = 0.125 + number
        result.curves.val_accuracy[:] = 0.9375
        trials.append(FinishedTrial.of(number, result, "run"))
    return "\n".join(note(spec, trials))


def test_the_note_names_the_best(make_spec: MakeSpec, make_result: MakeResult) -> None:
    inside, other = Hyperparameters(0.01, 0.25, 12), Hyperparameters(0.1, 0.25, 12)
    lines = told(make_spec(("[16, 8]", "[16, 12, 8]")), make_result, inside, other).splitlines()
    assert len(lines) == 1, "it lies on no edge"
    for part in ("#0", "0.01", "0.25", "12", "0.12500", "93.75 %"):
        assert part in lines[0]


@pytest.mark.parametrize(
    ("best", "edges"),
    [
        (Hyperparameters(0.001, 0.25, 12), ["learning rate 0.001 (try smaller)"]),
        (Hyperparameters(1.0, 0.5, 12), ["learning rate 1 (try larger)", "decay 0.5 (try larger)"]),
        (Hyperparameters(0.01, 0.25, 8), ["batch size 8 (try smaller)"]),
        (Hyperparameters(0.01, 0.25, 16), ["batch size 16 (try larger)"]),
    ],
)
def test_the_note_warns_of_an_edge(
    make_spec: MakeSpec, make_result: MakeResult, best: Hyperparameters, edges: list[str]
) -> None:
    text = told(make_spec(("[16, 8]", "[16, 12, 8]")), make_result, best)
    assert all(edge in text for edge in edges)
    assert text.count("try") == len(edges)


def test_an_axis_of_one_value_has_no_edge(make_spec: MakeSpec, make_result: MakeResult) -> None:
    spec = make_spec(("[16, 8]", "[16]"), ("{ low = 0.0, high = 0.5, points = 3 }", "[0.25]"))
    assert "try" not in told(spec, make_result, Hyperparameters(0.01, 0.25, 16))


def test_nothing_impossible_is_advised(make_spec: MakeSpec, make_result: MakeResult) -> None:
    """There is no weight decay below 0 and no batch below 1."""
    spec = make_spec(("[16, 8]", "[16, 1]"))
    assert "smaller" not in told(spec, make_result, Hyperparameters(0.01, 0.0, 1))


def test_large_batch_sizes_are_told_in_full(make_spec: MakeSpec, make_result: MakeResult) -> None:
    spec = make_spec(("[16, 8]", "[16, 12345]"))
    text = told(spec, make_result, Hyperparameters(0.01, 0.25, 12345))
    assert text.replace(",", "").count("12345") == 2


def test_a_study_whose_trials_all_diverged(make_spec: MakeSpec, make_result: MakeResult) -> None:
    result = make_result(Hyperparameters(1.0, 0.0, 8), Status.DIVERGED)
    (line,) = note(make_spec(), [FinishedTrial.of(0, result, "run")])
    assert "diverged" in line
