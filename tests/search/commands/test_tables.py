"""A table from launch to prediction: raw features in, whatever the model does to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from blank_figures import PAINTED
from command import lockstep
from PIL import Image
from served import rows_of, served
from small_study import FEW, small_study, write_study
from stored import client, runs

pytestmark = pytest.mark.xdist_group("tables")  # so that its study is launched once

JSON = "application/json"
rng = np.random.default_rng(0)
N = 300
Y = rng.integers(0, 3, N)
FRAME = pd.DataFrame(
    {
        "income": 40_000 + 9_000 * Y + rng.normal(0, 6_000, N),
        "ratio": 1e-4 * (Y == 1) + rng.normal(0, 5e-5, N),
        "colour": np.where(rng.random(N) < 0.3 + 0.3 * (Y == 2), "red", "blue"),
        "class": np.array(["low", "mid", "top"])[Y],
        "who": [f"person {i // 3}" for i in range(N)],
    }
)


def study(**keys: Any) -> str:
    data = {"source": "my.csv", "classes": None, "label": "class"} | keys
    settings = {f"data.{key}": value for key, value in data.items()}
    return small_study({"model.epochs": 20, "baseline": None} | settings, **FEW)


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    FRAME.to_csv(folder / "my.csv", index=False)
    write_study(folder, study(categorical="one-hot", groups="who"))
    launched = lockstep("launch", "study.toml", cwd=folder, variables=PAINTED)
    assert launched.code == 0, launched.err
    assert "my.csv, classes low, mid, top: " in launched.out
    assert "  scaling standardised (mean 0, standard deviation 1 on the training part)" in (
        launched.out
    )
    return folder


@pytest.fixture(scope="module")
def report(retrained: Path) -> Any:
    finished = lockstep(
        "retrain", "study.toml", "--seeds", "0", "--json", cwd=retrained, variables=PAINTED
    )
    assert finished.code == 0, finished.err
    return finished.json


def test_unscaled_features_are_learnt(report: Any) -> None:
    """Plain gradient descent on incomes in the ten thousands would learn nothing."""
    assert report["test_accuracy"] > 0.6


def test_the_description_says_how_it_was_scaled(retrained: Path) -> None:
    (parent,) = runs(retrained / "runs", "small", "study")
    assert "standardised" in parent.data.tags["mlflow.note.content"]


def test_the_model_takes_raw_features(retrained: Path, report: Any) -> None:
    """The registered model, read by MLflow alone, against the weights and statistics by hand."""
    mlflow.set_tracking_uri(f"sqlite:///{(retrained / 'runs').resolve()}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/small@champion")
    raw = np.stack(
        [
            FRAME["income"],
            FRAME["ratio"],
            FRAME["colour"] == "blue",
            FRAME["colour"] == "red",
        ],
        axis=1,
        dtype=np.float32,
    )
    found = model.predict(raw)
    store = client(retrained / "runs")
    version = store.get_model_version_by_alias("small", "champion")
    (path,) = (retrained / "runs" / "artifacts").rglob("artifacts/model.npz")
    assert version is not None
    with np.load(path) as arrays:
        scaled = (raw - arrays["mean"]) / arrays["deviation"]
        Z = scaled @ arrays["W"]
        assert arrays["feature_names"].tolist() == ["income", "ratio", "colour=blue", "colour=red"]
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    names = ["probability_low", "probability_mid", "probability_top"]
    np.testing.assert_allclose(found[names].to_numpy(), P, atol=1e-5)
    assert (found["class"] == FRAME["class"]).mean() > 0.6

    asked = lockstep("predict", "study.toml", "my.csv", "--json", cwd=retrained)
    assert asked.code == 0, asked.err
    assert [each["class"] for each in asked.json["predictions"]] == found["class"].tolist()
    np.savez(retrained / "raw.npz", X=raw)
    again = lockstep("predict", "study.toml", "raw.npz", "--json", cwd=retrained)
    assert [each["class"] for each in again.json["predictions"]] == found["class"].tolist()


def test_readmes_line_serves_it_to_anyone(retrained: Path, report: Any) -> None:
    """Without the virtual environment being activated; raw rows, matched by name, in any order."""
    asked = lockstep("predict", "study.toml", "my.csv", "--json", cwd=retrained)
    expected = [each["class"] for each in asked.json["predictions"]]
    features = FRAME[["income", "ratio", "colour"]]
    turned = features[["colour", "income", "ratio"]]
    encoded = features.assign(blue=FRAME["colour"] == "blue", red=FRAME["colour"] == "red")
    matrix = encoded.drop(columns="colour").astype(float)
    with served("small", retrained) as ask:
        for body, kind in (
            (FRAME.to_csv(index=False), "text/csv"),
            ({"dataframe_split": turned.to_dict("split", index=False)}, JSON),
            ({"dataframe_records": turned.to_dict("records")}, JSON),
            ({"inputs": turned.to_dict("list")}, JSON),
            ({"inputs": turned.to_dict("records")}, JSON),
            ({"instances": turned.to_dict("records")}, JSON),
            ({"inputs": matrix.to_numpy().tolist()}, JSON),
            ({"dataframe_split": {"data": matrix.to_numpy().tolist()}}, JSON),
        ):
            status, answer = ask(body, kind)
            assert status == 200, answer
            assert [row["class"] for row in rows_of(answer)] == expected
        for change, told in (
            ({"income": None}, "row 1, column income has no value (null or NaN)"),
            ({"income": "much"}, "row 1, column income is 'much', which is no number"),
            ({"colour": "green"}, "row 1, column colour has 'green': training met blue, red"),
            ({"colour": None}, "row 1, column colour has no value: training met blue, red"),
        ):
            row = features.iloc[0].to_dict() | change
            status, answer = ask({"dataframe_records": [row]})
            assert status == 400
            assert told in json.loads(answer)["message"]
        renamed = features.rename(columns={"ratio": "rate"})
        status, answer = ask({"dataframe_split": renamed.to_dict("split", index=False)})
        assert status == 400
        assert "there is no column ratio, which the model needs" in json.loads(answer)["message"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ratio": None}, "more.csv has no column ratio, which the model needs"),
        ({"colour": None}, "more.csv has no column colour, which the model needs"),
        ({"colour": "green"}, "'green' in row 1, which training never met: known are blue, red"),
        ({"income": "much"}, "columns that are not numbers: income"),
    ],
)
def test_tables_that_do_not_fit_the_model(
    retrained: Path, report: Any, change: dict[str, str | None], told: str
) -> None:
    (column, value), *_ = change.items()
    other = FRAME.drop(columns=column) if value is None else FRAME.assign(**{column: value})
    other.to_csv(retrained / "more.csv", index=False)
    refused = lockstep("predict", "study.toml", "more.csv", cwd=retrained)
    assert refused.code == 2
    assert told in refused.err


def test_the_scale_of_a_study_cannot_change(retrained: Path, report: Any) -> None:
    folder = retrained
    keys = {"categorical": "one-hot", "groups": "who", "scale": "none"}
    other = folder / "other.toml"
    other.write_text(study(**keys))
    for command in ("launch", "compare", "retrain", "sync"):
        refused = lockstep(command, "other.toml", cwd=folder)
        assert refused.code == 2, command
        assert 'data.scale: "standard" → "none"' in refused.err
        assert 'scale = "standard" in [data] continues it' in refused.err
    other.write_text(study(**keys | {"scale": "standard"}))
    assert lockstep("launch", "other.toml", cwd=folder).code == 0


def test_images_in_colour(tmp_path: Path) -> None:
    """Red ones and blue ones, which no grey picture tells apart."""
    y = np.arange(80) % 2
    X = rng.integers(0, 40, (80, 5, 4, 3), dtype=np.uint8)
    X[y == 0, ..., 0] += 150
    X[y == 1, ..., 2] += 150
    np.savez(tmp_path / "mine.npz", x_train=X.transpose(0, 3, 1, 2), y_train=y[:, None])
    write_study(tmp_path, small_study(source="mine.npz", classes=None, **FEW))
    launched = lockstep("launch", "study.toml", cwd=tmp_path)
    assert launched.code == 0, launched.err
    assert "5×4 images in colour" in launched.out
    assert "  scaling none (pixels from 0 to 1)" in launched.out
    assert lockstep("retrain", "study.toml", "--seeds", "0", cwd=tmp_path).code == 0
    for place in (0, 1):
        Image.fromarray(X[place]).save(tmp_path / f"{place}.png")
    asked = lockstep("predict", "study.toml", "0.png", "1.png", "--json", cwd=tmp_path)
    assert asked.code == 0, asked.err
    assert [each["class"] for each in asked.json["predictions"]] == ["0", "1"]
