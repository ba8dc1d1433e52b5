"""A file as it is understood: it is a study file, and means the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import REPOSITORY
from layered import beside_layers
from small_study import NO_KEYS, Options, small_spec

from search.spec.study_file import load, study_of
from search.spec.study_spec import StudySpec
from search.spec.toml_writer import toml
from search.spec.understood import understood

STUDIES = sorted((REPOSITORY / "studies").glob("*.toml"))
TABLE: dict[str, Any] = {"data.source": "a.csv", "data.label": "y", "data.classes": None}


def again(spec: StudySpec, folder: Path) -> StudySpec:
    return study_of(tomllib.loads(toml(understood(spec))), folder / "study.toml")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_file_that_comes_along(path: Path, tmp_path: Path) -> None:
    spec = load(beside_layers(path, tmp_path))
    shown = again(spec, tmp_path)
    assert shown.model_dump() == spec.model_dump()
    assert shown.digest() == spec.digest()


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (Options(), NO_KEYS),
        (Options(sampler="random", trials=4, cohort=2), NO_KEYS),
        (Options(sampler="tpe", minutes=0.5, pruner="hyperband", epochs=20), NO_KEYS),
        (Options(pruner="halving", reduction=2, min_epochs=1), NO_KEYS),
        (
            Options(momentum=[0.0, 0.9], schedule=["constant", "cosine"], bias=[True, False]),
            NO_KEYS,
        ),
        (Options(keep_weights="all", finalists=3), NO_KEYS),
        (Options(validation_fraction=None), {"data.folds": 5}),  # type: ignore[typeddict-item]
        (Options(validation_fraction=None), TABLE),  # type: ignore[typeddict-item]
        (Options(), {"baseline": {"solver": "lbfgs"}}),
        (Options(description='a "quoted" text, é, \\'), {"baseline": None}),
    ],
)
def test_it_means_the_same(options: Options, keys: dict[str, Any], tmp_path: Path) -> None:
    spec = small_spec(keys, **options)
    shown = again(spec, tmp_path)
    assert shown.digest() == spec.digest()
    assert shown.model_dump() == spec.model_dump()


def test_every_key_that_is_left_out_of_the_file_is_there() -> None:
    shown = understood(small_spec())
    assert shown["model"]["momentum"] == 0.0
    assert shown["search"]["pruner"] == "none"
    assert "trials" not in shown["search"], "a grid has no budget"


def test_files_of_features_have_a_heading_of_their_own(tmp_path: Path) -> None:
    for name in ("layer-2", "layer-10"):
        np.save(tmp_path / f"{name}.npy", np.zeros((4, 2), np.float32))
    tables = understood(small_spec())
    tables["data"] = {"features": "layer-*.npy", "labels": "y.npy"}
    text = toml(understood(study_of(tables, tmp_path / "study.toml")))
    assert '[data.features]\nlayer-2 = "layer-2.npy"\nlayer-10 = "layer-10.npy"\n' in text
