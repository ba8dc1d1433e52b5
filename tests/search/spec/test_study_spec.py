"""What defines a study: its digest, and the differences between two."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from small_study import Options, damaged, small_spec, small_study, write_study

from search.spec.study_file import load
from search.spec.study_spec import StudySpec, differences


def test_digest_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    spec = load(write_study(tmp_path))

    def turned(table: dict[str, Any]) -> dict[str, Any]:
        return {
            key: turned(value) if isinstance(value, dict) else value
            for key, value in reversed(table.items())
        }

    path = write_study(tmp_path, tomli_w.dumps(turned(tomllib.loads(small_study()))))
    assert load(path) == spec
    assert load(path).digest() == spec.digest()
    assert re.fullmatch("[0-9a-f]{64}", spec.digest())


def test_digest_does_not_depend_on_how_a_number_is_written(tmp_path: Path) -> None:
    assert small_spec({"space.learning_rate.high": 1}).digest() == small_spec().digest()
    path = write_study(tmp_path, damaged("low = 0.001", "low = 0.00_1"))
    assert load(path).digest() == small_spec().digest()


def test_digest_golden() -> None:
    # Computed when this was written: a change of it makes every stored study another one.
    assert (
        small_spec().digest() == "838df9792416bd09f96506b756c2bfc897b2262f31600787c8da7a4de62b82ba"
    )


DEFINING: list[tuple[str, object]] = [
    ("data.source", "mnist"),
    ("data.classes", [6, 3]),
    ("data.classes", ["3", "6"]),
    ("data.validation_fraction", 0.26),
    ("data.seed", 1),
    ("model.penalty", "squared"),
    ("model.epochs", 6),
    ("model.seed", 1),
    ("space.learning_rate.low", 2e-3),
    ("space.learning_rate.high", 1.5),
    ("space.learning_rate.log", False),
    ("space.learning_rate.points", 5),
    ("space.weight_decay.high", 0.6),
    ("space.batch_size", [16, 4]),
    ("search.objective", "val_accuracy"),
    ("search.pruner", "halving"),
    ("search.replicates", 2),
    ("search.seed", 1),
]


@pytest.mark.parametrize(("key", "value"), DEFINING)
def test_what_defines_a_study(key: str, value: object) -> None:
    assert_only_difference(small_spec(), small_spec({key: value}), key)


def test_the_sampler_defines_a_study() -> None:
    assert_only_difference(small_spec(), small_spec(sampler="random", trials=24), "search.sampler")


def assert_only_difference(before: StudySpec, after: StudySpec, key: str) -> None:
    assert before.digest() != after.digest()
    changes = differences(before.defining(), after.defining())
    assert len(changes) == 1
    assert changes[0].startswith(f"{key}: ")


def test_every_defining_key_is_among_those_tested() -> None:
    def leaves(table: dict[str, Any], prefix: str = "") -> set[str]:
        return {
            leaf
            for key, value in table.items()
            for leaf in (
                leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
            )
        }

    alike = {f"space.weight_decay.{key}" for key in ("low", "log", "points")}
    tested = {key for key, _ in DEFINING} | {"search.sampler"} | alike
    # The cohort of a grid is the grid; the others are left out while they have their defaults.
    later = {"search.pruner", "search.replicates"}
    assert leaves(small_spec().defining()) == tested - later | {"search.cohort"}


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        ({"sampler": "random", "trials": 9}, "search.cohort", 33),
        ({"pruner": "halving"}, "search.reduction", 2),
        ({"pruner": "halving"}, "search.min_epochs", 2),
    ],
)
def test_what_defines_a_sampled_or_pruned_study(options: Options, key: str, value: int) -> None:
    assert_only_difference(small_spec(**options), small_spec({key: value}, **options), key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("description", "another description"),
        ("baseline.learning_rate", 0.002),
        ("baseline", None),
    ],
)
def test_what_may_change_under_a_running_study(key: str, value: object) -> None:
    before, after = small_spec(), small_spec({key: value})
    assert before != after
    assert before.digest() == after.digest()
    assert differences(before.defining(), after.defining()) == []


@pytest.mark.parametrize(
    ("key", "value"), [("search.epochs", 10), ("search.minutes", 0.5), ("search.finalists", 3)]
)
def test_the_budget_and_the_finalists_may_change(key: str, value: float) -> None:
    some = small_spec(sampler="tpe", trials=10)
    other = small_spec({key: value}, sampler="tpe", trials=20)
    assert some.digest() == other.digest()


def test_differences_say_what_was_and_what_is() -> None:
    before = small_spec().defining()
    after = small_spec(epochs=6, classes=None, learning_rate=[0.1, 0.2]).defining()
    assert differences(before, after) == [
        "data.classes: [3, 6] → null",
        "model.epochs: 5 → 6",
        "space.learning_rate: null → [0.1, 0.2]",
        "space.learning_rate.high: 1.0 → null",
        "space.learning_rate.log: true → null",
        "space.learning_rate.low: 0.001 → null",
        "space.learning_rate.points: 4 → null",
    ]
    assert differences(after, after) == []
