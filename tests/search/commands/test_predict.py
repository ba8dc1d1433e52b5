"""Asking the champion: from the command line, and as MLflow serves it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from command import lockstep
from loading import load
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import invocations
from PIL import Image
from served import Ask, rows_of
from small_study import FEW, small_study, write_study

from core.datasets.loaded import Loaded
from core.datasets.splits import Splits, prepare
from core.trainer import softmax
from search.errors import LockstepError
from search.model.inputs import Expected, read_input

pytestmark = pytest.mark.xdist_group("predict")  # so that one study is launched, not two


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrained")
    study = str(write_study(folder, small_study(**FEW)))
    (folder / "x.npz").touch()
    assert lockstep("predict", study, "x.npz", cwd=folder).code == 2
    assert lockstep("launch", study, cwd=folder).code == 0
    refused = lockstep("predict", study, "x.npz", cwd=folder)
    (folder / "refused.txt").write_text(f"{refused.code} {refused.err}")
    assert lockstep("retrain", study, "--seeds", "0", cwd=folder).code == 0
    return folder


@pytest.fixture(scope="module")
def digits() -> Splits:
    train, test = load("digits", [3, 6], None, print)
    return prepare(Loaded(train, test=test), validation_fraction=0.25, seed=0)


@pytest.fixture(scope="module")
def probabilities(retrained: Path, digits: Splits) -> np.ndarray[Any, Any]:
    """Of the test set, from the weights that were logged."""
    (path,) = (retrained / "runs" / "artifacts").rglob("artifacts/model.npz")
    with np.load(path) as arrays:
        return softmax.probabilities(softmax.logits(digits.test.X, arrays["W"]))


def picture(path: Path, X: np.ndarray[Any, Any], mode: str = "L") -> str:
    Image.fromarray(np.round(255 * X).astype(np.uint8).reshape(8, 8)).convert(mode).save(path)
    return str(path)


def test_rows_and_pictures(
    retrained: Path, digits: Splits, probabilities: np.ndarray[Any, Any]
) -> None:
    X = digits.test.X
    np.savez(retrained / "rows.npz", X=X)
    np.savez(retrained / "images.npz", X=X.reshape(-1, 8, 8))
    pictures = [
        picture(retrained / f"{mode}.png", X[0], mode) for mode in ("L", "RGB", "RGBA", "P")
    ]
    found = lockstep(
        "predict", "study.toml", "rows.npz", "images.npz", *pictures, "--json", cwd=retrained
    )
    assert found.code == 0, found.err
    predictions = found.json["predictions"]
    asked = np.array([[each["probabilities"][c] for c in ("3", "6")] for each in predictions])
    n = len(X)
    np.testing.assert_allclose(asked[:n], probabilities, atol=1e-6)
    np.testing.assert_array_equal(asked[n : 2 * n], asked[:n])
    np.testing.assert_allclose(asked[2 * n :], probabilities[:1].repeat(4, axis=0), atol=0.01)
    names = [digits.test.class_names[c] for c in probabilities.argmax(axis=1)]
    assert [each["class"] for each in predictions[:n]] == names
    assert predictions[3]["input"] == "rows.npz [3]"

    shown = lockstep("predict", "study.toml", "rows.npz", cwd=retrained).out
    assert f"… {n} rows in all: 3 {names.count('3')}, 6 {names.count('6')}" in shown
    assert "models:/small/1 (champion)" in shown


def test_bytes_are_scaled_as_in_training(retrained: Path, digits: Splits) -> None:
    X = digits.test.X[:5]
    np.savez(retrained / "floats.npz", X=np.round(X * 255) / 255)
    np.savez(retrained / "bytes.npz", X=np.round(X * 255).astype(np.uint8))
    found = [
        [each["probabilities"] for each in lockstep(
            "predict", "study.toml", name, "--json", cwd=retrained
        ).json["predictions"]]
        for name in ("floats.npz", "bytes.npz")
    ]  # fmt: skip
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_a_negative_is_noticed(retrained: Path, digits: Splits) -> None:
    negative = picture(retrained / "negative.png", 1 - digits.test.X[0])
    right = picture(retrained / "right.png", digits.test.X[0])
    np.savez(retrained / "unscaled.npz", X=np.sign(digits.test.X[:1]) * 255)
    shown = lockstep("predict", "study.toml", negative, right, "unscaled.npz", cwd=retrained).out
    assert "unscaled.npz has values up to 255, but those of the training images go to 1" in shown
    assert "negative.png looks like a negative of the training images: try --invert" in shown
    assert "right.png looks" not in shown
    inverted, plain = (
        lockstep("predict", "study.toml", *arguments, "--json", cwd=retrained).json
        for arguments in ((negative, "--invert"), (right,))
    )
    assert inverted["predictions"][0]["probabilities"] == pytest.approx(
        plain["predictions"][0]["probabilities"], abs=1e-6
    )


Make = Callable[[Path], object]
ROWS = np.random.default_rng(0).random((3, 64))


def saved(**arrays: Any) -> Make:
    return lambda path: np.savez(path, **arrays)


def torn(make: Make) -> Make:
    """What makes the file that the other makes, and cuts off its end."""

    def cut(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[:-40])

    return cut


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        (
            "large.png",
            Image.new("L", (16, 8)).save,
            "16×8 pixels, but the model was trained on 8×8",
        ),
        ("deep.png", Image.fromarray(np.zeros((8, 8), np.uint16)).save, "more than 8 bits a pixel"),
        ("text.png", lambda path: path.write_text("not a picture"), "neither a picture"),
        ("torn.png", torn(lambda path: picture(path, ROWS[0])), "damaged picture"),
        ("missing.png", lambda path: None, "no such file"),
        (
            "wide.npz",
            saved(X=np.zeros((3, 65))),
            "shape (N, 64) or (N, 8, 8), as in training, not float64 (3, 65)",
        ),
        ("empty.npz", saved(X=np.zeros((0, 64))), "not float64 (0, 64)"),
        ("words.npz", saved(X=np.full((3, 64), "a")), "X must be numbers"),
        ("nan.npz", saved(X=np.full((3, 64), np.nan)), "finite"),
        ("objects.npz", saved(X=np.full((3, 64), None)), "Python objects"),
        ("other.npz", saved(Y=ROWS), "holds no array X, but Y: save the rows with np.savez"),
        ("flat.npz", saved(X=np.zeros(64)), "make one example a row with X.reshape(1, -1)"),
        ("folder.npz", Path.mkdir, "a folder; give the files in it one by one"),
        ("torn.npz", torn(saved(X=ROWS)), "not a valid .npz file"),
    ],
    ids=lambda value: value if str(value).endswith((".png", ".npz")) else "",
)
def test_inputs_refused(tmp_path: Path, name: str, make: Make, said: str) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(LockstepError) as refused:
        read_input(path, Expected(64, (8, 8)))
    message = str(refused.value)
    assert said in message
    assert name in message
    assert len(message.splitlines()) == 1


def test_pictures_of_a_model_of_features_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(path)
    with pytest.raises(LockstepError, match=r"not trained on images, but on 64 features: give an"):
        read_input(path, Expected(64, None))


def test_one_bad_input_and_nothing_is_predicted(retrained: Path, digits: Splits) -> None:
    picture(retrained / "good.png", digits.test.X[0])
    refused = lockstep("predict", "study.toml", "good.png", "missing.png", cwd=retrained)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "lockstep: missing.png: no such file; give a picture or an .npz file with an array X\n"
    )


def test_a_study_that_was_not_yet_retrained(retrained: Path) -> None:
    refused = (retrained / "refused.txt").read_text()
    assert refused.startswith("2 ")
    assert f"run `lockstep retrain {retrained / 'study.toml'}` first" in refused


@pytest.fixture(scope="module")
def ask(retrained: Path) -> Ask:
    """What MLflow's server does with a request, without the server."""
    mlflow.set_tracking_uri(f"sqlite:///{(retrained / 'runs').resolve()}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/small@champion")
    schema = model.metadata.get_input_schema()

    def ask(body: object, kind: str = "application/json") -> tuple[int, str]:
        try:
            content = body if isinstance(body, str) else json.dumps(body)
            answer = invocations(content, kind, model, schema)
        except MlflowException as error:
            return error.get_http_status_code(), error.message
        return answer.status, answer.response

    return ask


def test_the_champion_is_served(
    ask: Ask, digits: Splits, probabilities: np.ndarray[Any, Any]
) -> None:
    X = digits.test.X
    names = [digits.test.class_names[c] for c in probabilities.argmax(axis=1)]
    columns = [f"pixel {d}" for d in range(64)]
    table = pd.DataFrame(X, columns=columns)
    for body, kind in (
        ({"inputs": X.tolist()}, "application/json"),
        ({"instances": X.tolist()}, "application/json"),
        ({"dataframe_split": {"columns": columns, "data": X.tolist()}}, "application/json"),
        ({"dataframe_split": {"data": X.tolist()}}, "application/json"),
        (table.to_csv(index=False), "text/csv"),
    ):
        status, answer = ask(body, kind)
        assert status == 200, answer
        rows = rows_of(answer)
        assert [row["class"] for row in rows] == names
        answered = np.array([[row["probability_3"], row["probability_6"]] for row in rows])
        np.testing.assert_allclose(answered, probabilities, atol=1e-6)


ROW = [0.5] * 63


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"inputs": [[0.5, *ROW], [None, *ROW]]}, "row 2, column 1 has no value (null or NaN)"),
        ('{"inputs": [[' + "0," * 63 + "NaN]]}", "row 1, column 64 has no value"),
        ('{"inputs": [[' + "0," * 63 + "1e400]]}", "row 1, column 64 is inf"),
        ('{"inputs": [[' + "0," * 63 + "-Infinity]]}", "row 1, column 64 is -inf"),
        ({"inputs": [[1e39, *ROW]]}, "row 1, column 1 is 1e+39: give a number that is finite in"),
        ({"inputs": [["dark", *ROW]]}, "row 1, column 1 is 'dark', which is no number"),
        ({"inputs": [[{}, *ROW]]}, "row 1, column 1 is '{}', which is no number"),
        ({"inputs": [ROW]}, "rows of 64 numbers each are needed, as a list of lists, not"),
        ({"inputs": [0.5, *ROW]}, "not values of the shape (64,)"),
        ({"inputs": 3}, "not values of the shape ()"),
        ({"inputs": []}, "there are no rows: give at least one"),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, "there are no rows"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1]]}}, "not values of the shape (1, 1)"),
        ({"inputs": [[0.5, *ROW], ROW]}, "inhomogeneous"),
        ({"rows": []}, "exactly one of the input fields"),
        ("{", "valid JSON"),
    ],
)
def test_rows_that_the_served_champion_refuses(ask: Ask, body: object, told: str) -> None:
    status, answer = ask(body)
    assert status == 400
    assert told in answer


def test_any_finite_row_is_answered(ask: Ask) -> None:
    """The largest ones overflow float32, in which training computes."""
    status, answer = ask({"inputs": [[3e38] * 64, [-3e38] * 64, [3e38, -3e38] * 32]})
    assert status == 200
    assert len(rows_of(answer)) == 3
