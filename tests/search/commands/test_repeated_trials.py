"""A launch over lists, whose sampler suggests configurations again: training, runs and findings."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from small_study import Options, small_spec
from stored import runs

from core.trainer.pruning import kept
from search.commands.compare import compare
from search.commands.compare import summary as compared
from search.commands.launch import launch
from search.commands.launch_report import summary
from search.commands.retrain import retrain
from search.commands.sync import sync
from search.console import Console
from search.settings import Settings
from search.tracking.store import load_tracker
from search.trials.finished_trial import FinishedTrial
from search.trials.repeats import trained

LISTS: Options = {
    "sampler": "random",
    "learning_rate": [0.01, 0.1, 0.3],
    "weight_decay": [0.0, 0.01],
    "batch_size": [16],
    "trials": 8,
    "cohort": 4,
}


def comparable(trials: list[FinishedTrial]) -> list[str]:
    return [repr(replace(trial, run_id="")) for trial in trials]


def test_a_launch_over_lists(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    spec = small_spec(**LISTS, finalists=3)
    report = launch(spec, settings, Console())
    different = trained(report.trials)
    repeats = [trial for trial in report.trials if trial.repeats is not None]
    assert len(report.trials) == 8
    assert len(different) + len(repeats) == 8
    assert len({trial.hyperparameters for trial in different}) == len(different) < 8
    assert (
        "there are only 6 configurations, fewer than search.trials = 8" in capsys.readouterr().out
    )
    assert report.as_json()["repeats"] == len(repeats)
    assert report.as_json()["epochs"] == 5 * len(different)

    assert report.finals is not None
    finalists = {each.trial for each in report.finals.finalists}
    assert len(finalists) == 3
    assert finalists <= {trial.number for trial in different}
    assert report.choice is not None
    assert len(report.choice.standings) == len(different), "copies are no evidence of their own"
    told = f"repeats  {len(repeats)} of 8 trials repeat a configuration that was known"
    assert told in summary(report, spec, settings)

    found = runs(settings.home, "small", "trial")
    assert {run.info.run_id for run in found} == {trial.run_id for trial in different}
    assert len(found) == len(different), "a repeat has the run of the trial that it repeats"
    note = runs(settings.home, "small", "study")[0].data.tags["mlflow.note.content"]
    assert "- **repeats**" in note

    repeat = repeats[0]
    tracker = load_tracker(spec, settings, "test")
    tracker.client.delete_run(repeat.run_id)
    synchronised = sync(spec, settings, Console())
    assert (synchronised.written, synchronised.unlike) == (1, [])
    comparison = compare(spec, settings, Console())
    rows = {row["number"]: row for row in comparison.as_json()["trials"]}
    assert len(rows) == 8
    assert rows[repeat.number]["repeats"] == repeat.repeats
    assert rows[repeat.number]["run_id"] == rows[repeat.repeats]["run_id"] != repeat.run_id
    assert told in compared(comparison)
    chosen = retrain(spec, settings, Console(), number=repeat.number, seeds=0)
    assert chosen.chosen.result.hyperparameters == repeat.hyperparameters


def test_with_pruning_a_configuration_is_decided_upon_once(settings: Settings) -> None:
    """And a study that was cut in the middle of a cohort goes on to the same numbers."""
    own: Options = {"pruner": "halving", "reduction": 2, "min_epochs": 2, "trials": 12}
    spec = small_spec(**{**LISTS, **own, "cohort": 6, "batch_size": [16, 8]}, epochs=8)
    trials = launch(spec, settings, Console()).trials
    once = trained(trials)
    assert len({trial.hyperparameters for trial in once}) == len(once) < len(trials) == 12
    for cohort in (range(6), range(6, 12)):
        new = [trial for trial in once if trial.number in cohort]
        completed = Counter(trial.stopped_epoch for trial in new)[8]
        assert completed == kept(len(new), 2, 2), "repeats take no place of theirs"

    lines = (settings.home / "small" / "study.journal").read_bytes().splitlines(keepends=True)
    told = [n for n, line in enumerate(lines) if b"lockstep.result" in line]
    cut = replace(settings, home=settings.home.with_name("cut"))
    (cut.home / "small").mkdir(parents=True)
    (cut.home / "small" / "study.journal").write_bytes(b"".join(lines[: told[8]]))
    assert comparable(launch(spec, cut, Console()).trials) == comparable(trials)
