"""Studies that grow: old trials stand, new ones are trained, and more epochs go on."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import lockstep
from driving import launched_until_more_is_recorded
from layered import LAYERS, layered_study
from small_study import Options, small_spec, small_study, write_study
from stored import optuna_trials, runs

from core.trainer.result import Hyperparameters, Status
from search.commands.launch import launch
from search.commands.retrain import retrain
from search.commands.sync import sync
from search.console import Console
from search.errors import LockstepError, StudyChangedError
from search.settings import Settings
from search.spec.study_file import load
from search.spec.study_spec import StudySpec
from search.study.opening import load_study
from search.trials.finished_trial import FinishedTrial

pytestmark = pytest.mark.xdist_group("growing")  # so that its studies are launched once

# One of the rates diverges.
BEFORE = Options(
    penalty="squared",
    epochs=4,
    learning_rate=[0.01, 0.1, 1e6],
    weight_decay=[1e-4, 1e-1],
    batch_size=[16],
)
WIDER = Options(learning_rate=[1e-3, 0.01, 0.1, 1e6], batch_size=[8, 16], momentum=[0.0, 0.9])
AFTER: Options = {**BEFORE, **WIDER, "epochs": 7}
OLD, ALL = 6, 32


@dataclass(frozen=True)
class State:
    """All that is known of a trial: what Optuna has, and the arrays of its run's result."""

    trial: FinishedTrial
    arrays: Mapping[str, Any]


def state(spec: StudySpec, settings: Settings) -> dict[int, State]:
    """Every trial by its number; each has a run, and no other run is there."""
    finished = load_study(spec, settings).finished()
    there = {run.info.run_id for run in runs(settings.home, spec.name, "trial")}
    assert {trial.run_id for trial in finished if trial.repeats is None} == there
    found = {}
    for trial in finished:
        folder = settings.home / "artifacts" / spec.name / trial.run_id / "artifacts"
        with np.load(folder / "result.npz") as arrays:
            found[trial.number] = State(replace(trial, run_id=""), dict(arrays))
    return found


def assert_same(found: Mapping[Any, State], expected: Mapping[Any, State]) -> None:
    """Bit for bit."""
    assert found.keys() == expected.keys()
    for key, one in found.items():
        other = expected[key]
        assert repr(replace(one.trial, number=0)) == repr(replace(other.trial, number=0)), key
        assert one.arrays.keys() == other.arrays.keys()
        for name, values in one.arrays.items():
            np.testing.assert_array_equal(values, other.arrays[name], f"{key} {name}", strict=True)


def by_configuration(states: Mapping[int, State]) -> dict[Hyperparameters, State]:
    return {each.trial.hyperparameters: each for each in states.values()}


def at(home: Path) -> Settings:
    return Settings(home=home, workers=2)


@dataclass(frozen=True)
class Grown:
    """A study that was launched, grew in every direction, and was launched again."""

    settings: Settings
    before: dict[int, State]
    runs_before: list[str]
    after: dict[int, State]
    told: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("growing")


@pytest.fixture(scope="module")
def grown(folder: Path) -> Grown:
    settings = at(folder / "runs")
    launch(small_spec(**BEFORE), settings, Console())
    before = state(small_spec(**BEFORE), settings)
    runs_before = [run.info.run_id for run in runs(settings.home, "small", "trial")]
    shutil.copytree(folder / "runs", folder / "before" / "runs")
    told: list[str] = []
    console = Console()
    console.say = lambda text="": told.append(text)  # type: ignore[method-assign]
    report = launch(small_spec(**AFTER), settings, console)
    assert len(report.trials) == ALL
    return Grown(
        settings, before, runs_before, state(small_spec(**AFTER), settings), "\n".join(told)
    )


def test_numbers_stand_and_every_configuration_is_there_once(grown: Grown) -> None:
    for number, earlier in grown.before.items():
        now = grown.after[number].trial
        assert now.hyperparameters == replace(earlier.trial.hyperparameters, momentum=0.0)
    assert sorted(grown.after) == list(range(ALL))
    expected = {
        (rate, decay, size, momentum)
        for rate in AFTER["learning_rate"]
        for decay in (1e-4, 1e-1)
        for size in (8, 16)
        for momentum in (0.0, 0.9)
    }
    found = [each.trial.hyperparameters for each in grown.after.values()]
    assert len(found) == len(set(found)) == ALL
    assert {(e.learning_rate, e.weight_decay, e.batch_size, e.momentum) for e in found} == expected
    assert "model.epochs: 4 → 7" in grown.told
    assert "; trials go on from the weights that their runs keep" in grown.told
    assert "space.batch_size: [16] → [8, 16]" in grown.told


def test_every_run_is_of_the_study_as_it_is_now(grown: Grown) -> None:
    children = runs(grown.settings.home, "small", "trial")
    assert len(children) == ALL
    diverged = [n for n, each in grown.after.items() if each.trial.status is Status.DIVERGED]
    for run in children:
        number = int(run.data.tags["lockstep.trial"])
        if number not in diverged:
            assert run.data.params["epochs"] == "7"
            assert run.data.metrics["val_loss"] == grown.after[number].trial.val_loss
            assert len(grown.after[number].arrays["val_loss"]) == 7
    (parent,) = runs(grown.settings.home, "small", "study")
    assert parent.info.status == "FINISHED"
    artifacts = grown.settings.home / "artifacts" / "small" / parent.info.run_id / "artifacts"
    assert load(artifacts / "study.toml").digest() == small_spec(**AFTER).digest()
    kept = set(grown.runs_before) & {run.info.run_id for run in children}
    assert len(kept) == len([number for number in diverged if number < OLD]) > 0, "they stand"


def test_old_trials_have_the_bits_of_a_study_of_so_many_epochs(
    grown: Grown, tmp_path: Path
) -> None:
    """Whether they go on from their weights, or are trained again because one lost its own."""
    fresh: Options = {**BEFORE, "epochs": 7}
    launch(small_spec(**fresh), at(tmp_path / "fresh"), Console())
    expected = state(small_spec(**fresh), at(tmp_path / "fresh"))
    old = {number: grown.after[number] for number in range(OLD)}
    assert_same(by_configuration(old), by_configuration(expected))


def test_without_the_weights_they_are_trained_from_the_start(
    grown: Grown, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "before" / "runs", tmp_path / "runs")
    settings = at(tmp_path / "runs")
    # One is enough: a stack is trained whole.
    whole = next(n for n, each in grown.before.items() if each.trial.status is Status.COMPLETED)
    (run,) = (
        each
        for each in runs(settings.home, "small", "trial")
        if each.data.tags["lockstep.trial"] == str(whole)
    )
    (settings.home / "artifacts" / "small" / run.info.run_id / "artifacts" / "result.npz").unlink()
    launch(small_spec(**AFTER), settings, Console())
    assert_same(state(small_spec(**AFTER), settings), grown.after)


def test_step_by_step_it_comes_to_the_same_trials(
    grown: Grown, folder: Path, tmp_path: Path
) -> None:
    """First more values, then more epochs: the new ones are then one generation, as before."""
    shutil.copytree(folder / "before" / "runs", tmp_path / "runs")
    settings = at(tmp_path / "runs")
    wider: Options = {**BEFORE, **WIDER}
    launch(small_spec(**wider), settings, Console())
    first = {n: each for n, each in state(small_spec(**wider), settings).items() if n < OLD}
    assert_same(first, grown.before)
    launch(small_spec(**AFTER), settings, Console())
    assert_same(state(small_spec(**AFTER), settings), grown.after)


def test_lost_runs_of_every_generation_are_made_again(
    grown: Grown, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "runs", tmp_path / "runs")
    settings = at(tmp_path / "runs")
    shutil.rmtree(settings.home / "artifacts")
    report = sync(small_spec(**AFTER), settings, Console())
    assert report.written == ALL
    assert report.unlike == []
    assert_same(state(small_spec(**AFTER), settings), grown.after)


def test_killed_while_it_grows(grown: Grown, folder: Path, tmp_path: Path) -> None:
    """Again and again, at any moment: nothing is lost, nothing is there twice, the same bits."""
    shutil.copytree(folder / "before" / "runs", tmp_path / "runs")
    write_study(tmp_path, small_study(**AFTER))
    chance = random.Random(1)
    kills = 0
    while kills < 4:
        process = launched_until_more_is_recorded(tmp_path)
        if process.poll() is not None:
            break
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.communicate()
        kills += 1
    assert kills >= 3
    finished = lockstep("launch", "study.toml", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert_same(state(small_spec(**AFTER), at(tmp_path / "runs")), grown.after)
    assert len(optuna_trials(tmp_path / "runs", "small")) == ALL
    statuses = {run.info.status for run in runs(tmp_path / "runs", "small", "trial")}
    assert statuses == {"FINISHED", "FAILED"}


def test_a_study_that_is_not_raised_to_its_end_is_not_synchronised(
    folder: Path, grown: Grown, tmp_path: Path
) -> None:
    shutil.copytree(folder / "before" / "runs", tmp_path / "runs")
    raised = small_spec(**{**BEFORE, "epochs": 7})
    with pytest.raises(LockstepError, match="is being trained for more epochs: run `lockstep lau"):
        sync(raised, at(tmp_path / "runs"), Console())
    # As nothing was trained yet, it can be undone.
    report = launch(small_spec(**BEFORE), at(tmp_path / "runs"), Console())
    assert len(report.trials) == OLD
    with pytest.raises(StudyChangedError, match=r"model\.epochs: 4 → 3 \(trials can only be"):
        launch(small_spec(**{**BEFORE, "epochs": 3}), at(tmp_path / "runs"), Console())


def test_finalists_are_judged_again_after_more_epochs(settings: Settings) -> None:
    some = Options(learning_rate=[0.1, 1.0], weight_decay=[0.0], batch_size=[16], finalists=2)
    first = launch(small_spec(**some), settings, Console()).finals
    again = launch(small_spec(**{**some, "epochs": 9}), settings, Console()).finals
    assert first is not None
    assert again is not None
    assert {each.trial for each in again.finalists} == {0, 1}
    assert again.winner.val_loss < first.winner.val_loss
    fresh = replace(settings, home=settings.home / "fresh")
    assert again == launch(small_spec(**{**some, "epochs": 9}), fresh, Console()).finals


def test_random_trials_are_raised_and_so_are_those_that_repeat_them(settings: Settings) -> None:
    some = Options(
        sampler="random", trials=6, cohort=3,
        learning_rate=[0.1, 1.0], weight_decay=[0.0, 0.1], batch_size=[16],
    )  # fmt: skip
    launch(small_spec(**some), settings, Console())
    raised = small_spec(**{**some, "epochs": 8})
    report = launch(raised, settings, Console())
    assert {trial.stopped_epoch for trial in report.trials} == {8}
    assert any(trial.repeats is not None for trial in report.trials)
    fresh = replace(settings, home=settings.home / "fresh")
    launch(raised, fresh, Console())
    assert_same(state(raised, settings), state(raised, fresh))


def test_more_layers(tmp_path: Path) -> None:
    """The files of features that a study had must stay as they were; others may be added."""
    path = layered_study(tmp_path, weight_decay=[0.0])
    later = tmp_path / "layers" / f"{LAYERS[0]}.npy"
    later.rename(tmp_path / "later.npy")
    settings = at(tmp_path / "runs")
    launch(load(path), settings, Console())
    before = state(load(path), settings)
    first = retrain(load(path), settings, Console(), seeds=0).model
    (tmp_path / "later.npy").rename(later)
    spec = load(path)
    assert tuple(spec.data.features or ()) == LAYERS, "the new one is the first"
    report = launch(spec, settings, Console())
    assert len(report.trials) == len(before) // 3 * 4
    after = state(spec, settings)
    assert_same({number: after[number] for number in before}, before)
    new = {each.trial.hyperparameters.features for n, each in after.items() if n not in before}
    assert new == {LAYERS[0]}
    assert report.choice is not None
    assert report.choice.layers is not None
    assert len(report.choice.layers.found) == 4
    again = retrain(spec, settings, Console(), seeds=0).model
    assert first is not None
    assert again is not None
    assert again.is_champion, "the same examples, so they compare"
    assert "as good as version 1" in again.reason
    np.save(tmp_path / "layers" / f"{LAYERS[1]}.npy", np.load(later))
    with pytest.raises(StudyChangedError, match="the data's content"):
        launch(load(path), settings, Console())
