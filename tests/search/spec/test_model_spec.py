"""The table [model]: values that all trials share, and lists that are searched."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from made_up import make_splits
from optuna.distributions import CategoricalDistribution
from refusal import refusal
from small_study import small_spec, small_study, write_study

from core.trainer.learning_rate import Schedule
from core.trainer.result import Hyperparameters
from core.trainer.softmax import balanced_class_weights
from search.spec.configuration import configuration
from search.spec.space import grid
from search.spec.study_spec import StudySpec
from search.study.distributions import distributions

LISTS: dict[str, Any] = {
    "bias": [True, False],
    "momentum": [0.0, 0.9],
    "schedule": ["constant", "cosine"],
    "warmup_epochs": [0, 2],
}


def test_what_a_model_is_if_nothing_is_said() -> None:
    model = small_spec({"model.bias": None}).model
    assert (model.bias, model.momentum, model.schedule) == (True, 0.0, Schedule.CONSTANT)
    assert (model.warmup_epochs, model.class_weight) == (0, None)
    assert model.searched() == {}


def test_values_are_those_of_every_trial() -> None:
    spec = small_spec(bias=True, momentum=0.9, schedule="cosine", warmup_epochs=1)
    rest = {(each.momentum, each.schedule, each.warmup_epochs, each.bias) for each in grid(spec)}
    assert rest == {(0.9, Schedule.COSINE, 1, True)}
    assert set(distributions(spec)) == {"learning_rate", "weight_decay", "batch_size"}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_searched(name: str) -> None:
    spec = small_spec({f"model.{name}": LISTS[name]})
    assert distributions(spec)[name] == CategoricalDistribution(LISTS[name])
    tried = grid(spec)
    assert len(tried) == spec.combinations() == spec.budget == 2 * small_spec().combinations()
    assert len(set(tried)) == len(tried)
    assert {getattr(each, name) for each in tried} == set(LISTS[name])
    first, last = configuration(tried[0], spec), configuration(tried[-1], spec)
    assert first.count(",") == last.count(",") == 3, "it is named beside the three others"


def test_all_lists_at_once() -> None:
    spec = small_spec({f"model.{name}": values for name, values in LISTS.items()})
    found = {(e.bias, e.momentum, e.schedule.value, e.warmup_epochs) for e in grid(spec)}
    assert found == set(itertools.product(*LISTS.values()))
    assert spec.combinations() == 16 * small_spec().combinations()


def test_a_stack_shares_what_is_not_a_rate_or_decay() -> None:
    spec = small_spec({f"model.{name}": values for name, values in LISTS.items()})
    assert len({each.shared for each in grid(spec)}) == 2 * 16


def test_hyperparameters_come_back_from_optuna_as_they_were() -> None:
    spec = small_spec({f"model.{name}": values for name, values in LISTS.items()})
    for each in grid(spec):
        stored = {name: getattr(each, name) for name in distributions(spec)}
        stored["schedule"] = stored["schedule"].value
        back = spec.hyperparameters(stored)
        assert back == each
        assert type(back.schedule) is Schedule


def test_older_studies_are_those_without_bias() -> None:
    """What did not exist when a study was stored is left out while it is as it was then."""
    earlier = {"penalty", "epochs", "seed"}
    assert set(small_spec(bias=False).defining()["model"]) == earlier
    assert set(small_spec(bias=True).defining()["model"]) == earlier | {"bias"}
    assert set(small_spec(momentum=0.5).defining()["model"]) == earlier | {"momentum"}
    assert small_spec(momentum=0.0).digest() == small_spec().digest()
    assert small_spec(momentum=[0.0]).digest() != small_spec().digest()


BASELINES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"model.momentum": 0.5}, {"momentum": 0.5}),
    ({"model.momentum": [0.9, 0.0]}, {"momentum": 0.9}),
    ({"model.momentum": [0.9, 0.0], "baseline.momentum": 0.0}, {"momentum": 0.0}),
    ({"baseline.bias": True, "baseline.schedule": "cosine"}, {"bias": True, "schedule": "cosine"}),
]


@pytest.mark.parametrize(("keys", "expected"), BASELINES)
def test_a_baseline_is_as_the_model_but_for_what_it_names(
    keys: dict[str, Any], expected: dict[str, Any]
) -> None:
    spec = small_spec(keys)
    assert spec.baseline is not None
    found = spec.baseline.hyperparameters(spec)
    assert found == Hyperparameters(0.001, 0.0001, 16, **expected)


def test_class_weights_are_of_the_training_part() -> None:
    splits = make_splits(("a", "b", "c"))
    weights = small_spec(class_weight="balanced").model.example_weights(
        splits.train, splits.validation
    )
    by_class = balanced_class_weights(splits.train.y, 3)[splits.validation.y]
    assert weights is not None
    np.testing.assert_allclose(weights, by_class / by_class.mean())
    assert small_spec().model.example_weights(splits.train, splits.validation) is None


MISTAKES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"model.bias": "yes"}, ("model.bias = 'yes'", "give true or false")),
    ({"model.bias": [True, 1]}, ("model.bias.1 = 1", "give true or false")),
    ({"model.bias": [True, True]}, ("model.bias: true is listed twice",)),
    ({"model.momentum": 1.0}, ("model.momentum = 1.0", "less than 1")),
    ({"model.momentum": -0.1}, ("model.momentum = -0.1", "greater than or equal to 0")),
    ({"model.momentum": [0.9, 2]}, ("model.momentum.1 = 2", "less than 1")),
    ({"model.momentum": []}, ("model.momentum = []", "at least 1")),
    ({"model.momentum": {"low": 0, "high": 0.9}}, ("model.momentum", "give a number")),
    ({"model.schedule": "linear"}, ("model.schedule = 'linear'", "'constant' or 'cosine'")),
    ({"model.schedule": ["cosine", "step"]}, ("model.schedule.1 = 'step'", "'cosine'")),
    ({"model.warmup_epochs": -1}, ("model.warmup_epochs = -1", "greater than or equal to 0")),
    ({"model.warmup_epochs": 5}, ("model: warmup_epochs = 5", "less than epochs = 5")),
    ({"model.warmup_epochs": [0, 9]}, ("model: warmup_epochs = 9", "less than epochs = 5")),
    ({"model.warmup_epochs": 0.5}, ("model.warmup_epochs = 0.5", "give a whole number")),
    ({"model.class_weight": "equal"}, ("model.class_weight = 'equal'", "'balanced'")),
    ({"model.momentun": 0.9}, ("unknown key model.momentun = 0.9", "did you mean momentum?")),
    ({"baseline.momentum": [0.9]}, ("baseline.momentum = [0.9]", "give a number")),
]


@pytest.mark.parametrize(("keys", "told"), MISTAKES, ids=[str(keys) for keys, _ in MISTAKES])
def test_a_mistake_is_told_in_one_sentence(
    tmp_path: Any, keys: dict[str, Any], told: tuple[str, ...]
) -> None:
    message = refusal(write_study(tmp_path, small_study(keys)))
    for part in told:
        assert part in message


def test_the_parts_of_a_study_that_do_not_matter_to_numbers() -> None:
    spec: StudySpec = small_spec()
    assert spec.with_model(bias=True).model.bias is True
    assert spec.model.bias is False
