"""A study from Python: arrays, tables and files; what the command line continues; what is found."""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import lockstep as command
from sklearn.datasets import load_digits, load_wine
from small_study import FEW as FEW_OF_FILE
from small_study import small_study, write_study

import lockstep
from lockstep.options import TABLES
from search.spec.data_spec import DataSpec
from search.spec.model_spec import ModelSpec
from search.spec.search_spec import SearchSpec
from search.spec.study_spec import SpaceSpec

pytestmark = pytest.mark.xdist_group("python_study")  # so that one study is launched, not two

X, y = load_digits(n_class=3, return_X_y=True)
X = X / 16
SMALL: dict[str, Any] = {
    "epochs": 4, "learning_rate": lockstep.log(0.01, 1, 3), "weight_decay": [0, 1e-4],
    "batch_size": 32,
}  # fmt: skip
FEW = SMALL | {"learning_rate": [0.1, 1.0], "weight_decay": 0}


def probe(home: Path, X: Any = X, y: Any = y, **options: Any) -> lockstep.Study:
    return lockstep.Study("probe", X, y, home=home, **SMALL | {"image_shape": (8, 8)} | options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study was launched from Python, and retrained."""
    folder = tmp_path_factory.mktemp("python")
    probe(folder / "runs").launch(verbose=False)
    probe(folder / "runs").retrain(seeds=0, verbose=False)
    return folder


def test_every_key_of_a_study_file_is_an_argument() -> None:
    given = {"source", "features", "label", "labels", "split", "groups"}  # told by X, y and these
    named = set(inspect.signature(lockstep.Study).parameters)
    for table, spec in (
        ("data", DataSpec), ("model", ModelSpec), ("space", SpaceSpec), ("search", SearchSpec)
    ):  # fmt: skip
        known = {name for name in spec.model_fields if name not in given} - {"seed"}
        if table == "search":
            known = known - {"epochs"} | {"total_epochs"}
        assert known == set(TABLES[table])
        assert known <= named
    assert {"split", "groups", "seed", "baseline", "description"} <= named


def test_the_trials_are_a_table(folder: Path) -> None:
    found = probe(folder / "runs").launch(verbose=False)
    trials = found.trials
    assert trials.shape[0] == 6
    assert trials.index.name == "number"
    assert set(trials.index) == set(range(6))
    assert trials["val_loss"].is_monotonic_increasing
    assert set(trials["learning_rate"]) == {0.01, 0.1, 1.0}
    assert (trials["status"] == "completed").all()
    assert found.best is not None
    assert found.best["number"] == trials.index[0]
    assert found.best["schedule"] == "constant"
    assert repr(found).startswith("6 trials (6 completed) in ")
    assert f"best     #{trials.index[0]}: " in repr(found)
    assert found.report["trials"]["complete"] == 6


def test_what_is_found_shows_itself(folder: Path) -> None:
    study = probe(folder / "runs", description="Three <digits>")
    for found in (study.launch(verbose=False), study.compare(verbose=False)):
        assert isinstance(found, lockstep.Found)
        page = found._repr_html_()
        assert "Three &lt;digits&gt;" in page
        assert page.count('src="data:image/png;base64,iVBOR') == 2, "heat maps and weights"
        assert page.count("<tr>") == 7
        assert "<b>best</b>" in page
        assert 'href="http://127.0.0.1:5000/#/experiments/' in page


def test_the_command_line_goes_on_with_it(folder: Path) -> None:
    file = "runs/probe/study.toml"
    finished = command("launch", file, "--json", cwd=folder)
    assert finished.code == 0, finished.err
    assert "; 6 already done" in finished.err
    assert finished.json["trials"]["complete"] == 6
    ranking = command("compare", file, "--json", cwd=folder).json["trials"]
    ours = probe(folder / "runs").compare(verbose=False)
    assert isinstance(ours, lockstep.Found)
    assert [each["number"] for each in ranking] == ours.trials.index.tolist()


def test_python_goes_on_with_a_study_of_the_command_line(tmp_path: Path) -> None:
    file = write_study(tmp_path, small_study(**FEW_OF_FILE))
    assert command("launch", file.name, cwd=tmp_path).code == 0
    study = lockstep.load(file, home=tmp_path / "runs")
    assert study.name == "small"
    journal = tmp_path / "runs" / "small" / "study.journal"
    recorded = journal.read_bytes().count(b"lockstep.result")
    found = study.launch(verbose=False)
    assert journal.read_bytes().count(b"lockstep.result") == recorded == 2
    assert len(found.trials) == 2
    assert not (tmp_path / "runs" / "small" / "study.toml").exists()


def test_more_than_one_study_is_compared(folder: Path, tmp_path: Path) -> None:
    other = lockstep.Study("other", X, y, home=tmp_path, **FEW | {"epochs": 1})
    with pytest.raises(lockstep.LockstepError, match="study other has not been launched"):
        other.compare(verbose=False)
    assert list(tmp_path.iterdir()) == []
    other.launch(verbose=False)
    together = probe(folder / "runs").compare(other, verbose=False)
    assert "other" in repr(together)
    assert "probe" in repr(together)


def test_it_is_loaded_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert len(lockstep.load("probe").launch(verbose=False).trials) == 6
    with pytest.raises(lockstep.LockstepError, match=r"prob.: no such study file"):
        lockstep.load("prob")


def test_other_data_or_options_are_refused_and_nothing_changes(folder: Path) -> None:
    def files() -> dict[str, bytes]:
        its = (folder / "runs" / "probe").glob("*.[nt]*")  # but not the journal and its lock
        return {path.name: path.read_bytes() for path in its}

    before = files()
    assert len(before) == 2
    with pytest.raises(lockstep.LockstepError, match=r"the data's content"):
        probe(folder / "runs", X=1 - X).launch(verbose=False)
    with pytest.raises(lockstep.LockstepError, match=r"model.epochs: 4 → 3") as raised:
        probe(folder / "runs", epochs=3).launch(verbose=False)
    assert raised.value.__cause__ is None
    assert files() == before


def test_a_study_grows_by_what_is_added(folder: Path) -> None:
    shutil.copytree(folder / "runs", folder / "grown")
    before = probe(folder / "grown").launch(verbose=False).trials
    after = probe(folder / "grown", weight_decay=[0, 1e-4, 1e-3]).launch(verbose=False).trials
    assert len(after) == 9
    assert after.loc[before.index, "val_loss"].equals(before["val_loss"])
    assert set(after.drop(before.index)["weight_decay"]) == {1e-3}


def test_a_study_file_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "study.toml").write_text("# mine\n")
    with pytest.raises(lockstep.LockstepError, match="was not written by Python"):
        probe(tmp_path).launch(verbose=False)
    assert [path.name for path in (tmp_path / "probe").iterdir()] == ["study.toml"]


def test_data_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    wrong = X.copy()
    wrong[3, 4] = np.nan
    with pytest.raises(lockstep.LockstepError, match=r"^study probe: X must .* 1 missing values"):
        probe(tmp_path / "runs", X=wrong).launch(verbose=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": -1}, "study s: space.learning_rate.0 = -1: must be greater than 0"),
        ({"sampler": "grit"}, "study s: search.sampler = 'grit': must be 'grid', "),
        ({"sampler": "tpe"}, "study s: search.trials is missing: "),
        ({"batch_size": lockstep.log(1, 9, 2)}, "study s: space.batch_size: a stack of trials "),
        ({"folds": 3, "validation_fraction": 0.5}, "study s: data: folds = 3: every example "),
        ({"momentum": object()}, "study s: "),
    ],
)
def test_a_wrong_option_is_named_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(lockstep.LockstepError) as raised:
        lockstep.Study("s", X, y, **SMALL | options)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("X", "y", "others", "said"),
    [
        (X, None, {}, "y is missing: give the labels of X"),
        (X, y[:-1], {}, "^study s: y must be 537 integers or strings like the rows of X, not int"),
        ([["a"], ["b"]], [0, 1], {}, "^study s: X must be numbers, not <U1"),
        (pd.DataFrame({"a": ["b", "c"]}), y[:2], {}, "^study s: X has columns that are not numb"),
        (np.array([[object()]]), [0], {}, "X must be an array of numbers, but holds Python obj"),
        (pd.DataFrame({"a": [1, 2]}), "b", {}, "y = 'b': X has no such column; it has a"),
        (pd.DataFrame({"a": [1, 2]}), [1], {}, "y must have a value for each of 2 rows, not "),
        ("wines.csv", y, {}, "y is an array, and X is 'wines.csv': give the name of a column"),
        ({"a": X}, y, {"X_val": X}, "X_val is for one set of features, and X has several"),
    ],
)
def test_wrong_data_is_named(X: Any, y: Any, others: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(lockstep.LockstepError) as raised:
        lockstep.Study("s", X, y, home=tmp_path / "runs", **SMALL | others).launch(verbose=False)
    assert re.search(said, str(raised.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda study: study.launch(workers="2"), "workers = '2': give a whole number from 1 to 1"),
        (lambda study: study.launch(patience=-1), "patience = -1: give a number from 0"),
        (lambda study: study.retrain(rule="two-se"), "rule = 'two-se': must be 'best' or 'one-se'"),
        (lambda study: study.retrain(seeds=101), "seeds = 101: give a whole number from 0 to 100"),
        (lambda study: study.retrain(trial=7, seeds=0), "--trial 7: study probe has no completed"),
    ],
)
def test_a_wrong_argument_of_a_call_is_named(
    folder: Path, call: Callable[[lockstep.Study], object], said: str
) -> None:
    with pytest.raises(lockstep.LockstepError) as raised:
        call(probe(folder / "runs"))
    assert str(raised.value).startswith(said)


def test_what_was_never_launched_is_told(tmp_path: Path) -> None:
    for call in (lockstep.Study.compare, lockstep.Study.retrain, lockstep.Study.model):
        with pytest.raises(lockstep.LockstepError, match="study probe has not been launched"):
            call(probe(tmp_path / "runs"))
    assert list(tmp_path.iterdir()) == []


def test_the_retrained_model_is_a_classifier(folder: Path, tmp_path: Path) -> None:
    """It predicts what `lockstep predict` predicts, in the labels that were given."""
    model = probe(folder / "runs").model()
    assert isinstance(model, lockstep.LockstepClassifier)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.score(X, y) > 0.9
    np.savez(tmp_path / "rows.npz", X=X[:50])
    asked = command(
        "predict", "runs/probe/study.toml", str(tmp_path / "rows.npz"), "--json", cwd=folder
    ).json["predictions"]
    told = np.array([[each["probabilities"][name] for name in "012"] for each in asked])
    np.testing.assert_allclose(model.predict_proba(X[:50]), told, atol=1e-6)
    assert [int(each["class"]) for each in asked] == model.predict(X[:50]).tolist()
    images = X.reshape(-1, 8, 8)
    np.testing.assert_array_equal(model.predict_proba(images), model.predict_proba(X))


def test_retraining_tells_of_the_test_set_and_gives_the_parameters(folder: Path) -> None:
    shutil.copytree(folder / "runs", folder / "again")
    model = probe(folder / "again").retrain(trial=2, seeds=1, verbose=False)
    assert model.report_["trial"] == 2
    assert model.report_["earlier_test_evaluations"] == 1
    assert len(model.report_["test_errors_of_other_seeds"]) == 1
    assert model.learning_rate == pytest.approx(0.1)
    assert (model.epochs, model.batch_size, model.penalty) == (4, 32, "norm")
    assert len(model.loss_curve_) == 4


def test_a_clone_is_fitted_to_the_same_weights(tmp_path: Path) -> None:
    """The model is what its parameters say: fitted to the same rows, it comes out the same."""
    from sklearn.base import clone

    parts = np.array(["train"] * 300 + ["validation"] * 100 + ["test"] * (len(X) - 400))
    options = FEW | {"split": parts, "scale": "standard", "schedule": "cosine", "bias": False}
    study = lockstep.Study("probe", X, y, home=tmp_path, **options, class_weight="balanced")
    study.launch(verbose=False)
    model = study.retrain(seeds=0, verbose=False)
    again = clone(model).fit(X[:400], y[:400])
    np.testing.assert_allclose(again.coef_, model.coef_, rtol=1e-3, atol=1e-5)
    assert model.report_["test_size"] == len(X) - 400


def test_tables_with_names_texts_and_parts(tmp_path: Path) -> None:
    bunch = load_wine(as_frame=True)
    names = pd.Series(bunch.target_names[bunch.target], name="cultivar")
    table = bunch.data.assign(colour=np.where(bunch.target == 0, "red", "white"))
    odd = np.arange(len(table)) % 3 == 0
    study = lockstep.Study(
        "wine", table[~odd], names[~odd], X_test=table[odd], y_test=names[odd], home=tmp_path,
        categorical="one-hot", folds=3, **FEW,
    )  # fmt: skip
    assert len(study.launch(verbose=False).trials) == 2
    model = study.retrain(seeds=0, verbose=False)
    assert model.report_["test_size"] == odd.sum()
    assert model.classes_.tolist() == ["class_0", "class_1", "class_2"]
    assert model.feature_names_in_[-2:].tolist() == ["colour=red", "colour=white"]
    shuffled = table[table.columns[::-1]]
    assert (model.predict(shuffled) == names).mean() > 0.9
    np.testing.assert_array_equal(model.predict_proba(shuffled), model.predict_proba(table))
    unknown = table.assign(colour="green")
    with pytest.raises(lockstep.LockstepError, match="Column colour in X has 'green' in row 1"):
        model.predict(unknown)
    asked = lockstep.Study("wine", table.assign(cultivar=names), "cultivar", home=tmp_path / "b",
                           categorical="one-hot", **FEW)  # fmt: skip
    assert len(asked.launch(verbose=False).trials) == 2


def test_several_sets_of_features_and_files(tmp_path: Path) -> None:
    np.save(tmp_path / "half.npy", X[:, :32].astype(np.float32))
    sets = {"whole": X, "half": tmp_path / "half.npy"}
    study = lockstep.Study("sets", sets, y, home=tmp_path / "runs", **FEW)
    trials = study.launch(verbose=False).trials
    assert trials.groupby("features").size().to_dict() == {"whole": 2, "half": 2}
    model = study.retrain(seeds=0, verbose=False)
    assert model.n_features_in_ == {"whole": 64, "half": 32}[trials.iloc[0]["features"]]


def test_a_file_is_seen_from_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(X[:, 10:40], columns=[f"p{k}" for k in range(30)]).assign(digit=y).to_csv(
        "digits.csv", index=False
    )
    assert len(lockstep.Study("csv", "digits.csv", "digit", **FEW).launch(verbose=False).trials)
    finished = command("launch", "runs/csv/study.toml", "--json", cwd=tmp_path)
    assert finished.json["trials"]["complete"] == 2
    known = lockstep.Study("known", "digits", classes=[3, 6], **FEW)
    assert known.launch(verbose=False).report["trials"]["complete"] == 2


def test_what_is_left_out_fits_the_data(tmp_path: Path) -> None:
    """As `lockstep init` chooses it, with what is given in its place."""
    few = np.r_[0:60]
    study = lockstep.Study("few", X[few], y[few], home=tmp_path, epochs=3, batch_size=[16])
    found = study.launch(verbose=False)
    np.savez(tmp_path / "few.npz", X=X[few], y=y[few])
    proposal = tmp_path / "few.toml"
    command("init", "few.npz", "--output", str(proposal), cwd=tmp_path)
    ours, its = (lockstep.load(path)._definition.spec for path in
                 (tmp_path / "few" / "study.toml", proposal))  # fmt: skip
    assert ours.space.learning_rate == its.space.learning_rate
    assert ours.space.weight_decay == its.space.weight_decay
    assert (ours.data.folds, ours.model.momentum) == (5, 0.9)
    assert (ours.model.epochs, ours.space.batch_size) == (3, (16,))
    assert len(found.trials) == 48


@pytest.mark.parametrize("labels", ["texts", "floats", "truths", "one-hot", "objects"])
def test_classes_are_predicted_as_they_were_given(labels: str) -> None:
    from lockstep.registered import labels_of

    given: Any = {
        "texts": np.array(["b", "a", "b"]),
        "floats": np.array([2.0, 1.0, 2.0]),
        "truths": np.array([True, False, True]),
        "one-hot": np.array([[0, 1], [1, 0], [0, 1]]),
        "objects": pd.Series([10, 9, 10], dtype=object),
    }[labels]
    names = {"texts": "ab", "floats": "12", "truths": ("False", "True"), "one-hot": "01"}
    found = labels_of(tuple(names.get(labels, ("9", "10"))), given)
    expected = [0, 1] if labels == "one-hot" else sorted(set(np.asarray(given).tolist()))
    assert found.tolist() == expected
    assert type(found.tolist()[0]) is type(expected[0])
