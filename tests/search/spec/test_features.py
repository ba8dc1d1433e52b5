"""The key data.features: which files it names, in which order, and what is told of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layered import BEST, LAYERS, layered_study
from refusal import refusal

from core.trainer.result import Hyperparameters
from search.spec.configuration import configuration, values_of
from search.spec.feature_files import named_files
from search.spec.space import grid
from search.spec.study_file import load
from search.spec.study_spec import Baseline, StudySpec, differences

BASELINE = {"learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 16}
TWO = {"a": "layers/layer-2.npy", "b": "layers/layer-9.npy"}
MISTAKES: list[tuple[dict[str, object], tuple[str, ...]]] = [
    ({"data.features": "x-*.npy"}, ("data.features: 'x-*.npy' matches no file in", "give a")),
    ({"data.features": []}, ("data.features: 0 files: give from 1 to 1,000",)),
    ({"data.features": 3}, ("data.features: 3: give a pattern",)),
    ({"data.features": [1]}, ("data.features: 1: give the path of an .npy file in quotes",)),
    ({"data.features": ["a.npz"]}, ("data.features: 'a.npz': give .npy files",)),
    ({"data.features": ["a.npy", "a.npy"]}, ("'a.npy' is listed twice",)),
    (
        {"data.features": ["d/a.npy", "./d/a.npy"]},
        ("two of the files would be called 'd/a'", "give a table of distinct names"),
    ),
    ({"data.features": {"x" * 61: "a.npy"}}, ("cannot name a set of features", "1 to 60")),
    ({"data.features": {"": "a.npy"}}, ("'' cannot name a set of features",)),
    ({"data.features": {"a\nb": "a.npy"}}, ("cannot name a set of features",)),
    (
        {"data.features": "layers/*.npy"},
        ("features and labels both name 'layers/labels.npy'", '"layer-*.npy"'),
    ),
    ({"data.source": "digits"}, ("source and features are both given",)),
    ({"data.labels": None}, ("data: labels is missing", 'labels = "y.npy"')),
    ({"data.label": "a"}, ("label = 'a': it is for tables only, and features is",)),
    (
        {"baseline": BASELINE | {"features": "layer-99"}},
        ("baseline.features = 'layer-99': did you mean layer-9?", "Known are layer-2, layer-9"),
    ),
    (
        {"baseline": {"solver": "lbfgs", "features": "x"}},
        ("baseline.features = 'x': Known are layer-2",),
    ),
    ({"baseline": BASELINE | {"features": 2}}, ("baseline.features = 2: give a text in quotes",)),
    (
        {"baseline": {"solver": "lbfgs", "momentum": 0.9}},
        ("solver = 'lbfgs' and momentum exclude each other",),
    ),
]


@pytest.mark.parametrize(("keys", "told"), MISTAKES, ids=[str(keys)[:60] for keys, _ in MISTAKES])
def test_a_mistake_is_told_in_one_sentence(
    tmp_path: Path, keys: dict[str, object], told: tuple[str, ...]
) -> None:
    message = refusal(layered_study(tmp_path, keys))
    for part in told:
        assert part in message


def test_features_without_a_table_of_data(tmp_path: Path) -> None:
    """A study of one source has no features for its baseline to name."""
    source = {"data.features": None, "data.source": "layers/layer-2.npy"}
    keys = source | {"baseline": BASELINE | {"features": "layer-2"}}
    assert "a single set of features" in refusal(layered_study(tmp_path, keys))


def test_a_pattern_is_sorted_by_number_and_named_by_stem(tmp_path: Path) -> None:
    spec = load(layered_study(tmp_path))
    assert tuple(spec.data.features or ()) == LAYERS
    assert list((spec.data.features or {}).values())[2] == "layers/layer-10.npy"
    sources = spec.data_sources()
    assert [Path(each.name).is_file() for each in sources.values()] == [True] * 4
    assert {each.labels for each in sources.values()} == {str(tmp_path / "layers/labels.npy")}


def test_files_of_one_stem_are_named_by_their_paths() -> None:
    found = named_files(["small/cls.npy", "large/cls.npy"], Path())
    assert list(found) == ["small/cls", "large/cls"]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
def test_a_list_keeps_its_order(numbers: list[int]) -> None:
    files = [f"layers/layer-{number}.npy" for number in numbers]
    assert list(named_files(files, Path()).items()) == [
        (f"layer-{number}", file) for number, file in zip(numbers, files, strict=True)
    ]


def test_a_grid_has_the_features_outermost(tmp_path: Path) -> None:
    spec = load(layered_study(tmp_path))
    tried = grid(spec)
    assert len(tried) == spec.combinations() == 4 * 2 * 2
    assert [each.features for each in tried] == [name for name in LAYERS for _ in range(4)]
    assert spec.configurations() == 16


def test_the_order_of_the_files_decides_the_digest(tmp_path: Path) -> None:
    """A grid's trials are numbered in this order."""
    one = load(layered_study(tmp_path, {"data.features": TWO}))
    other = load(layered_study(tmp_path, {"data.features": dict(reversed(TWO.items()))}))
    assert one.digest() != other.digest()
    assert differences(one.defining(), other.defining()) == [
        "data.features: another order: a, b → b, a"
    ]


def test_an_added_file_is_told_by_its_name(tmp_path: Path) -> None:
    def told(new: object) -> list[str]:
        old = load(layered_study(tmp_path, {"data.features": TWO}))
        return differences(
            old.defining(), load(layered_study(tmp_path, {"data.features": new})).defining()
        )

    third = TWO | {"c": "layers/layer-10.npy"}
    assert told(third) == ["data.features: added c = 'layers/layer-10.npy'"]
    assert told(third | {"a": "layers/layer-11.npy"}) == [
        "data.features: added c = 'layers/layer-10.npy'; changed a = 'layers/layer-2.npy' → "
        "'layers/layer-11.npy'"
    ]
    assert told({"a": TWO["a"]}) == ["data.features: removed b = 'layers/layer-9.npy'"]
    many = TWO | {f"x{k}": f"x{k}.npy" for k in range(60)}
    (sentence,) = told(many)
    assert sentence.endswith("x4 = 'x4.npy' and 55 more")


def test_a_baseline_has_the_first_features_unless_it_names_others(tmp_path: Path) -> None:
    def baseline(keys: dict[str, object]) -> tuple[StudySpec, Hyperparameters]:
        spec = load(layered_study(tmp_path, {"baseline": BASELINE | keys}))
        assert isinstance(spec.baseline, Baseline)
        return spec, spec.baseline.hyperparameters(spec)

    spec, first = baseline({})
    assert first.features == LAYERS[0]
    _, other = baseline({"features": BEST})
    assert other.features == BEST
    assert configuration(first, spec).startswith("layer-2, learning rate 0.1, ")


def test_a_configuration_shows_the_features_if_there_are_several(tmp_path: Path) -> None:
    several = load(layered_study(tmp_path))
    assert values_of(grid(several)[0], several)["features"] == LAYERS[0]
    one = load(layered_study(tmp_path, {"data.features": ["layers/layer-9.npy"]}))
    assert grid(one)[0].features == BEST
    assert "features" not in values_of(grid(one)[0], one)
    assert BEST not in configuration(grid(one)[0], one)
