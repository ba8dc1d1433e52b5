"""What a launch says of the best trial and of the edges of the search."""

from __future__ import annotations

import pytest
from made_up import make_result
from small_study import small_spec

from core.trainer.result import Hyperparameters, Status
from search.commands.report import note
from search.findings.sentences import none_completed
from search.spec.study_spec import StudySpec
from search.trials.finished_trial import FinishedTrial


def told(spec: StudySpec, *tried: Hyperparameters) -> str:
    """The note on a study of these trials, of which the first is the best."""
    trials = []
    for number, each in enumerate(tried):
        result = make_result(each)
        result.curves.val_loss[:] = 0.125 + number
        result.curves.val_accuracy[:] = 0.9375
        trials.append(FinishedTrial.of(number, result, "run"))
    return "\n".join(note(spec, trials))


def test_the_note_names_the_best() -> None:
    inside, other = Hyperparameters(0.01, 0.25, 12), Hyperparameters(0.1, 0.25, 12)
    lines = told(small_spec(batch_size=[16, 12, 8]), inside, other).splitlines()
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
def test_the_note_warns_of_an_edge(best: Hyperparameters, edges: list[str]) -> None:
    text = told(small_spec(batch_size=[16, 12, 8]), best)
    assert all(edge in text for edge in edges)
    assert text.count("try") == len(edges)


def test_an_axis_of_one_value_has_no_edge() -> None:
    spec = small_spec(batch_size=[16], weight_decay=[0.25])
    assert "try" not in told(spec, Hyperparameters(0.01, 0.25, 16))


def test_nothing_impossible_is_advised() -> None:
    """There is no weight decay below 0 and no batch below 1."""
    spec = small_spec(batch_size=[16, 1])
    assert "smaller" not in told(spec, Hyperparameters(0.01, 0.0, 1))


def test_large_batch_sizes_are_told_in_full() -> None:
    spec = small_spec(batch_size=[16, 12345])
    text = told(spec, Hyperparameters(0.01, 0.25, 12345))
    assert text.replace(",", "").count("12345") == 2


def test_a_study_whose_trials_all_diverged() -> None:
    result = make_result(Hyperparameters(1.0, 0.0, 8), Status.DIVERGED)
    trials = [FinishedTrial.of(0, result, "run")]
    (line,) = note(small_spec(), trials)
    assert line.startswith("note     no trial of small was completed: 1 of 1 diverged")
    assert "rates are too high: give values in space.learning_rate below 1, such as 0.01" in line
    assert 'data.scale = "standard"' in none_completed(small_spec({"data.scale": "none"}), trials)
    assert "run `lockstep launch small`" in none_completed(small_spec(), [])
