"""Mistakes in a study file, each told in one sentence."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import pytest
from refusal import refusal
from small_study import damaged, small_spec, small_study, write_study

LONG = 10_000
MANY_NINES = int("9" * 400)
UNKNOWN: list[tuple[dict[str, object], tuple[str, ...]]] = [
    (
        {"model": None, "modell": {"epochs": 5}},
        ("unknown key modell", "did you mean model?", "baseline"),
    ),
    (
        {"model.epochs": None, "model.epoch": 5},
        ("unknown key model.epoch = 5", "did you mean epochs?"),
    ),
    (
        {"space.learning_rate.points": None, "space.learning_rate.pionts": 4},
        ("space.learning_rate.pionts = 4", "did you mean points?"),
    ),
    (
        {"space.batch_size": None, "space.batchsize": [16, 8]},
        ("space.batchsize", "mean batch_size?"),
    ),
    ({"search.seed": None, "search.sead": 0}, ("search.sead = 0", "did you mean seed?")),
    ({"baseline.xyz": 1}, ("baseline.xyz = 1", "Known here: learning_rate", "solver")),
    ({"baseline": {"slover": "lbfgs"}}, ("baseline.slover = 'lbfgs'", "did you mean solver?")),
    ({"x": "a\nb"}, ("unknown key x", r"'a\nb'")),
    ({"a\nb": 1}, (r"unknown key a\nb = 1",)),
    ({"k" * LONG: 1}, ("unknown key kkkk",)),
    ({"x": "v" * LONG}, ("unknown key x", "'vvvv", "…")),
    ({"range": 1}, ("unknown key range = 1",)),
    ({"model.epochs": None, "model.values": 5}, ("unknown key model.values = 5",)),
]
MISSING: list[tuple[dict[str, object], tuple[str, ...]]] = [
    ({"name": None}, ("name is missing",)),
    ({"space.learning_rate": None}, ("space.learning_rate is missing",)),
    ({"space.learning_rate.high": None}, ("space.learning_rate.high is missing",)),
    ({"baseline.learning_rate": None}, ("baseline.learning_rate is missing",)),
]
TYPES: list[tuple[dict[str, object], tuple[str, ...]]] = [
    ({"name": 3}, ("name = 3", "text in quotes")),
    ({"description": date(1979, 5, 27)}, ("description = ", "1979", "text in quotes")),
    ({"model.epochs": "5"}, ("model.epochs = '5'", "give a whole number")),
    ({"model.epochs": 5.0}, ("model.epochs = 5.0", "give a whole number")),
    ({"model.epochs": True}, ("model.epochs = true", "give a whole number")),
    ({"space.learning_rate.low": "0.1"}, ("space.learning_rate.low = '0.1'", "give a number")),
    ({"space.learning_rate.low": True}, ("space.learning_rate.low = true", "give a number")),
    ({"space.learning_rate.log": 1}, ("space.learning_rate.log = 1", "give true or false")),
    ({"space.learning_rate": [0.1, "0.2"]}, ("space.learning_rate.1 = '0.2'", "give a number")),
    ({"space.learning_rate": [0.1, True]}, ("space.learning_rate.1 = true", "give a number")),
    ({"space.learning_rate": [[0.1]]}, ("space.learning_rate.0 = [0.1]", "give a number")),
    ({"space.learning_rate": 0.1}, ("space.learning_rate = 0.1", "give a list")),
    ({"space.learning_rate": "0.1"}, ("space.learning_rate = '0.1'", "give a list")),
    ({"space.batch_size": 16}, ("space.batch_size = 16", "give a list")),
    ({"space.batch_size": [16.0]}, ("space.batch_size.0 = 16.0", "give a whole number")),
    ({"space.batch_size": ["16"]}, ("space.batch_size.0 = '16'", "give a whole number")),
    (
        {"space.batch_size": {"low": 8, "high": 16}},
        ("space.batch_size: a stack", "list the sizes"),
    ),
    ({"data.classes": "36"}, ("data.classes = '36'", "give a list")),
    ({"data.classes": [3, True]}, ("data.classes.1 = true",)),
    ({"data.classes": [3, 6.0]}, ("data.classes.1 = 6.0",)),
    ({"data.classes": [3, "a\nb"]}, (r"data.classes.1 = 'a\nb'",)),
    ({"data.seed": [0]}, ("data.seed = [0]", "give a whole number")),
    (
        {"baseline": [{"learning_rate": 0.001, "weight_decay": 0.0001, "batch_size": 16}]},
        ("baseline = [", "give a table"),
    ),
]
VALUES: list[tuple[dict[str, object], tuple[str, ...]]] = [
    (
        {"space.learning_rate.low": math.nan},
        ("space.learning_rate.low = nan", "give a finite number"),
    ),
    (
        {"space.learning_rate.high": math.inf},
        ("space.learning_rate.high = inf", "give a finite number"),
    ),
    (
        {"space.learning_rate": [0.1, math.nan]},
        ("space.learning_rate.1 = nan", "give a finite number"),
    ),
    ({"space.learning_rate.low": 2}, ("space.learning_rate: low = 2", "less than high = 1")),
    ({"space.learning_rate.low": 1}, ("space.learning_rate: low = 1", "less than high = 1")),
    ({"space.learning_rate.low": 0}, ("space.learning_rate: low = 0", "log range", "above 0")),
    ({"space.weight_decay.log": True}, ("space.weight_decay: low = 0", "log range")),
    (
        {"space.learning_rate": {"low": 0, "high": 1, "points": 2}},
        ("learning_rate: low = 0", "greater than 0"),
    ),
    ({"space.learning_rate": [0.1, 0]}, ("space.learning_rate.1 = 0", "greater than 0")),
    ({"space.learning_rate": [0.1, 1e7]}, ("space.learning_rate.1 = 10000000.0", "1000000")),
    ({"space.learning_rate.high": 1e300}, ("space.learning_rate", "1e+300")),
    ({"space.weight_decay.high": 1e300}, ("space.weight_decay", "1e+300")),
    ({"space.weight_decay.low": -0.1}, ("space.weight_decay: low = -0.1", "not be negative")),
    ({"space.weight_decay": [-0.1]}, ("space.weight_decay.0 = -0.1", "greater than or equal to 0")),
    ({"space.learning_rate.points": 1}, ("space.learning_rate.points = 1", "2")),
    ({"space.learning_rate.points": 10001}, ("space.learning_rate.points = 10001", "10000")),
    ({"space.learning_rate": []}, ("space.learning_rate = []", "at least 1")),
    ({"space.batch_size": []}, ("space.batch_size = []", "at least 1")),
    ({"space.batch_size": [0]}, ("space.batch_size.0 = 0", "greater than or equal to 1")),
    ({"space.batch_size": [16, 8, 16]}, ("space.batch_size: 16 is listed twice", "once")),
    ({"space.learning_rate": [0.1, 1, 1.0]}, ("space.learning_rate: 1.0 is listed twice",)),
    ({"data.classes": [3]}, ("data.classes = [3]", "at least 2")),
    ({"data.classes": []}, ("data.classes = []", "at least 2")),
    ({"data.classes": [3, 6, 3]}, ("data.classes: 3 is listed twice",)),
    ({"data.source": ""}, ("data.source = ''", "at least 1")),
    ({"data.source": "a\0b"}, ("data.source = 'a\\x00b'", "one line")),
    ({"data.validation_fraction": 1}, ("data.validation_fraction = 1", "less than 1")),
    ({"data.validation_fraction": 0.0}, ("data.validation_fraction = 0.0", "greater than 0")),
    ({"model.epochs": 0}, ("model.epochs = 0", "greater than or equal to 1")),
    ({"data.seed": -1}, ("data.seed = -1", "greater than or equal to 0")),
    ({"data.seed": 2**32}, ("data.seed = 4294967296", "less than 4294967296")),
    ({"model.penalty": "l1"}, ("model.penalty = 'l1'", "'norm' or 'squared'")),
    ({"search.sampler": "gird"}, ("search.sampler = 'gird'", "'grid'", "'tpe'")),
    ({"search.objective": "loss"}, ("search.objective = 'loss'", "'val_accuracy'")),
    ({"description": "x" * 501}, ("description = 'xxx", "500")),
    ({"description": "\x1b[2J"}, ("description = '\\x1b[2J'", "one line")),
    ({"baseline.learning_rate": 0}, ("baseline.learning_rate = 0", "than 0")),
    ({"baseline": {"solver": "newton"}}, ("baseline.solver = 'newton'", "must be 'lbfgs'")),
    ({"baseline": {"solver": 1}}, ("baseline.solver = 1", "must be 'lbfgs'")),
    ({"baseline": {"solver": []}}, ("baseline.solver = []", "must be 'lbfgs'")),
    # no machine number holds them
    ({"model.epochs": MANY_NINES}, ("model.epochs = 999", "100000")),
    ({"space.learning_rate.low": MANY_NINES}, ("space.learning_rate.low = 999", "number")),
]
CONTRADICTIONS: list[tuple[dict[str, object], tuple[str, ...]]] = [
    (
        {"baseline.solver": "lbfgs"},
        ("baseline: solver = 'lbfgs' and learning_rate exclude each other", "a solver alone"),
    ),
    ({"baseline": {"solver": "v" * LONG, "k" * LONG: 1}}, ("baseline: solver = 'vvv", "kkk")),
    ({"baseline": {"a\nb": 1, "solver": "lbfgs"}}, ("baseline: solver = 'lbfgs' and a\\nb",)),
    ({"space.learning_rate.points": None}, ("space.learning_rate.points is missing", "grid")),
    ({"space.weight_decay.points": None}, ("space.weight_decay.points is missing", "grid")),
    ({"search.trials": 9}, ("search.trials = 9", "leave trials out")),
    ({"search.sampler": "tpe"}, ("search.trials is missing", '"tpe"')),
    (
        {"search.sampler": "random", "search.trials": 0},
        ("search.trials = 0", "greater than or equal to 1"),
    ),
    ({"search.sampler": "qmc"}, ("search.trials is missing", '"qmc"', "epochs or minutes")),
    ({"search.epochs": 9}, ("search.epochs = 9", "leave epochs out")),
    ({"search.minutes": 9}, ("search.minutes = 9", "leave minutes out")),
    ({"search.cohort": 9}, ("search.cohort = 9", "a grid is one cohort")),
    (
        {"search.sampler": "tpe", "search.minutes": 0},
        ("search.minutes = 0", "greater than 0"),
    ),
    (
        {"search.sampler": "tpe", "search.epochs": 4},
        ("search.epochs = 4", "one trial alone takes 5"),
    ),
    (
        {"search.sampler": "tpe", "search.epochs": 9, "search.replicates": 2},
        ("search.epochs = 9", "takes 10"),
    ),
    (
        {"search.sampler": "tpe", "search.trials": 4, "search.finalists": 5},
        ("search.finalists = 5", "only 4 trials"),
    ),
    ({"search.replicates": 0}, ("search.replicates = 0",)),
    ({"search.finalists": -1}, ("search.finalists = -1",)),
    ({"search.pruner": "asha"}, ("search.pruner = 'asha'", "'halving'")),
    ({"search.reduction": 3}, ("search.reduction = 3", "nothing is pruned")),
    ({"search.min_epochs": 3}, ("search.min_epochs = 3", "nothing is pruned")),
    (
        {"search.pruner": "halving", "search.reduction": 1},
        ("search.reduction = 1", "2"),
    ),
    (
        {"search.pruner": "halving", "search.min_epochs": 5},
        ("min_epochs = 5", "epochs = 5"),
    ),
]
MISTAKES = [*UNKNOWN, *MISSING, *TYPES, *VALUES, *CONTRADICTIONS]


@pytest.mark.parametrize(("keys", "told"), MISTAKES, ids=[str(keys)[:60] for keys, _ in MISTAKES])
def test_a_mistake_is_told_in_one_sentence(
    tmp_path: Path, keys: dict[str, object], told: tuple[str, ...]
) -> None:
    message = refusal(write_study(tmp_path, small_study(keys)))
    for part in told:
        assert part in message


WRITTEN: list[tuple[str, str, tuple[str, ...]]] = [
    ("[model]", "[model", ("not valid TOML", "line ")),
    ("epochs = 5", "epochs =", ("not valid TOML", "line ")),
    ("epochs = 5", "epochs = 5\nepochs = 6", ("not valid TOML", "line ")),
    ("epochs = 5", f"epochs = {'9' * LONG}", ("not valid TOML", "digits")),
    ("epochs = 5", f"epochs = 0x{'9' * LONG}", ("model.epochs",)),
    ("low = 0.001", f"low = 0x{'9' * LONG}", ("space.learning_rate.low",)),
    ("low = 0.001", "low = 1e-400", ("space.learning_rate: low = 0", "above 0")),
    ("name =", f"x = 0o{'7' * LONG}\nname =", ("unknown key x",)),
]


@pytest.mark.parametrize(
    ("old", "new", "told"), WRITTEN, ids=[new[:40].strip() for _, new, _ in WRITTEN]
)
def test_a_mistake_of_syntax_is_told_in_one_sentence(
    tmp_path: Path, old: str, new: str, told: tuple[str, ...]
) -> None:
    """Or of a number that only a text can have."""
    message = refusal(write_study(tmp_path, damaged(old, new)))
    for part in told:
        assert part in message


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "/etc", "a\\b", ".", "..", ".hidden", "-x", "Small", "a b", "", "é", "²"]
    + ["a\a", "a\n", "\0", "x" * 65, "x" * LONG],
    ids=lambda name: ascii(name)[:40],
)
def test_a_name_that_is_no_name(tmp_path: Path, name: str) -> None:
    message = refusal(write_study(tmp_path, small_study(name=name)))
    assert "name = '" in message
    assert "lower-case letters, digits" in message


@pytest.mark.parametrize("name", ["a", "0", "mnist-3v6", "a.b_c-d", "x" * 64])
def test_names(name: str) -> None:
    assert small_spec(name=name).name == name


def test_cmaes_needs_a_range(tmp_path: Path) -> None:
    lists = small_study(sampler="cmaes", trials=9, learning_rate=[0.1, 1], weight_decay=[0.1, 1])
    message = refusal(write_study(tmp_path, lists))
    assert "cmaes" in message
    assert "range" in message
    one_range = small_spec(sampler="cmaes", trials=9, weight_decay=[0.1, 1])
    assert one_range.search.sampler == "cmaes"
