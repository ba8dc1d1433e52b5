"""Studies of several sets of features, from the study file to the registered model."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from blank_figures import PAINTED, painted
from command import lockstep
from driving import launched_until_more_is_recorded
from layered import BEST, LAYERS, SIZES, TIED, layered_study
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stored import client, optuna_trials, preset, runs, scores

from core.datasets.study_data import StudyData
from core.trainer.softmax import logits, predictions
from core.trainer.stack import train
from search.commands.compare import Comparison, compare
from search.commands.compare import summary as compare_summary
from search.commands.launch import run_study
from search.commands.launch_report import LaunchReport
from search.commands.launch_report import summary as launch_summary
from search.commands.predict import predict
from search.commands.retrain import retrain
from search.commands.retrain_report import summary as retrain_summary
from search.commands.study_data import load_data
from search.commands.sync import sync
from search.console import Console
from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_file import load
from search.spec.study_spec import StudySpec
from search.tracking.links import SEARCH_VIEW, TABLE_VIEW
from search.trials.finished_trial import FinishedTrial

pytestmark = pytest.mark.xdist_group("layers")  # so that its study is launched once

QUIET = Console(as_json=True)
BASELINE = {"learning_rate": 0.01, "weight_decay": 0.0, "batch_size": 16}


class Launched:
    """A study of four layers, launched."""

    def __init__(self, folder: Path, keys: dict[str, object], **options: object) -> None:
        self.folder = folder
        self.spec: StudySpec = load(layered_study(folder, keys, **options))
        self.settings = Settings(home=folder / "runs", workers=1)
        self.data: StudyData = load_data(self.spec, self.settings, print)
        self.report: LaunchReport = run_study(self.spec, self.data, self.settings, QUIET)

    def compared(self) -> Comparison:
        return compare(self.spec, self.settings, QUIET)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    with painted():
        return Launched(tmp_path_factory.mktemp("layers"), {"baseline": BASELINE})


def test_every_layer_is_trained_on_its_own_features(launched: Launched) -> None:
    """Each trial is trained alone here, on what its file holds."""
    spec, data = launched.spec, launched.data
    assert data.names == LAYERS
    assert [trial.hyperparameters.features for trial in launched.report.trials] == [
        name for name in LAYERS for _ in range(4)
    ]
    for trial in launched.report.trials[::3]:
        own = data.of(trial.hyperparameters.features)
        (result,) = train(
            spec.model.training_data(own.train, own.validation),
            [trial.hyperparameters],
            penalty=spec.model.penalty,
            epochs=spec.model.epochs,
            seed=spec.model.seed,
        )
        assert trial.val_loss == pytest.approx(float(result.curves.val_loss[-1]), rel=1e-5)


def test_launch_answers_which_layer(launched: Launched) -> None:
    text = launch_summary(launched.report, launched.spec, launched.settings)
    assert f"features {BEST} is the best of 4; 1 other ties with it: {TIED}" in text
    assert "it is the 2nd of 4, and none before it reaches its accuracy" in text
    assert f": {BEST}, learning rate" in text
    assert (launched.settings.figures("small") / "layers.png").is_file()
    report = json.loads(json.dumps(launched.report.as_json()))
    assert report["best"]["features"] == BEST
    assert report["choice"]["features"]["best"] == BEST
    assert report["choice"]["features"]["tied"] == [TIED]


def test_compare_has_a_table_of_layers(launched: Launched) -> None:
    with painted():  # it draws what the launch drew
        comparison = launched.compared()
    lines = compare_summary(comparison).splitlines()
    (start,) = [k for k, line in enumerate(lines) if line.split()[:2] == ["features", "trials"]]
    rows = [line.split() for line in lines[start + 1 : start + 5]]
    assert [row[:2] for row in rows] == [[str(k + 1), name] for k, name in enumerate(LAYERS)]
    assert [row[-1] for row in rows if row[1] == BEST] == ["best"]
    found = json.loads(json.dumps(comparison.as_json()))
    sets = found["choice"]["features"]["sets"]
    assert [each["name"] for each in sets] == list(LAYERS)
    assert {row["features"] for row in found["trials"]} == set(LAYERS)
    best = {name: min(r["val_loss"] for r in found["trials"] if r["features"] == name)
            for name in LAYERS}  # fmt: skip
    assert {each["name"]: each["val_loss"] for each in sets} == best
    assert found["layers"].endswith("layers.png")


def test_mlflow_knows_the_layer(launched: Launched) -> None:
    home = launched.settings.home
    store = client(home)
    for run in runs(home, "small", "trial"):
        features = run.data.params["features"]
        assert f" {features} lr " in run.info.run_name
        assert run.data.tags["lockstep.data_digest"] == launched.data.of(features).digest
    (parent,) = runs(home, "small", "study")
    files = {file.path for file in store.list_artifacts(parent.info.run_id, "figures")}
    assert {"figures/layers.png", "figures/heat_maps.png", "figures/importances.png"} <= files
    note = parent.data.tags["mlflow.note.content"]
    assert f"- **features** {BEST} is the best of 4" in note
    inputs = {each.dataset.name: each.dataset for each in parent.inputs.dataset_inputs}
    assert len(inputs) == 8
    for name in LAYERS:
        logged = inputs[f"small train {name}"]
        assert logged.digest == launched.data.of(name).train.digest[:36]
        assert json.loads(logged.source)["source"] == f"layers/{name}.npy"
    experiment = parent.info.experiment_id
    table = preset(store, experiment, TABLE_VIEW)
    assert "params.`features`" in table["selectedColumns"]
    charts = preset(store, experiment, SEARCH_VIEW)["compareRunCharts"]
    (parallel,) = [chart for chart in charts if chart["type"] == "PARALLEL"]
    assert parallel["selectedParams"][0] == "features"
    ranks = [r for r in runs(home, "small", "trial") if "lockstep.rank" in r.data.tags]
    assert len(ranks) == 10
    assert all("lockstep.weight_images" in run.data.tags for run in ranks)


def test_retrain_has_the_features_of_the_best_and_the_baseline_its_own(
    launched: Launched, capsys: pytest.CaptureFixture[str]
) -> None:
    report = retrain(launched.spec, launched.settings, Console(as_json=False), seeds=1)
    told = capsys.readouterr()
    assert f"on the features {BEST} (layers/{BEST}.npy) of " in told.out + told.err
    spec, data = launched.spec, launched.data
    own = data.of(BEST).merged()
    assert report.chosen.result.weights.shape == (SIZES[LAYERS.index(BEST)], 3)
    Z = logits(own.test.X[:], report.chosen.result.weights, report.chosen.result.bias)
    assert (predictions(Z) == report.chosen.predicted).all()
    # The baseline names no features, so it has the first ones.
    assert report.baseline is not None
    first = data.of(LAYERS[0]).merged()
    model = spec.model
    tried = spec.baseline.hyperparameters(spec)  # type: ignore[union-attr]
    (result,) = train(
        model.training_data(first.train), [tried], penalty=model.penalty, epochs=model.epochs,
        seed=model.seed,
    )  # fmt: skip
    expected = predictions(logits(first.test.X[:], result.weights, result.bias))
    assert (report.baseline.predicted == expected).all()
    text = retrain_summary(report)
    assert f"the baseline has other features, {LAYERS[0]} (layers/{LAYERS[0]}.npy)" in text
    assert report.as_json()["features"] == BEST
    assert report.as_json()["features_file"] == f"layers/{BEST}.npy"
    assert report.as_json()["baseline"]["features"] == LAYERS[0]


def test_the_registered_model_names_its_features(launched: Launched) -> None:
    report = retrain(launched.spec, launched.settings, QUIET, seeds=0)
    assert report.model is not None
    home = launched.settings.home
    store = client(home)
    run = runs(home, "small", "retrain")[0]
    assert run.data.params["features"] == BEST
    assert run.data.params["features_file"] == f"layers/{BEST}.npy"
    assert run.data.params["baseline_features"] == LAYERS[0]
    assert f"the features {BEST} (layers/{BEST}.npy)" in run.data.tags["mlflow.note.content"]
    files = {file.path for file in store.list_artifacts(run.info.run_id)}
    assert "weights_on_one_scale.png" not in files, "weights of other features have no scale"
    version = store.get_model_version("small", str(report.model.version))
    assert version.tags["lockstep.features"] == BEST
    assert version.tags["lockstep.features_file"] == f"layers/{BEST}.npy"
    found = predict(launched.spec, launched.settings, [launched.folder / f"layers/{BEST}.npy"])
    labels = np.load(launched.folder / "layers/labels.npy").astype(str)
    assert (np.array(found.classes) == labels).mean() > 0.85
    mlflow.set_tracking_uri(f"sqlite:///{home.resolve()}/mlflow.db")
    served = mlflow.pyfunc.load_model(report.model.uri)
    assert served.metadata.metadata["features"] == BEST
    with pytest.raises(MlflowException, match=f"rows of 7 numbers each of the features {BEST} "):
        served.predict(np.zeros((2, 9)))
    with pytest.raises(LockstepError, match=rf"\(N, 7\), as in training on the features {BEST}"):
        predict(launched.spec, launched.settings, [launched.folder / f"layers/{TIED}.npy"])


@pytest.mark.parametrize("features", [None, TIED])
def test_a_solver_is_fitted_to_its_own_features(launched: Launched, features: str | None) -> None:
    """It has those of the trial unless it names others; scikit-learn's own fit is the reference."""
    table = {"solver": "lbfgs"} | ({} if features is None else {"features": features})
    spec = load(layered_study(launched.folder, {"baseline": table}))
    report = retrain(spec, launched.settings, QUIET, seeds=0)
    assert report.baseline is not None
    name = features or BEST
    X = np.load(launched.folder / f"layers/{name}.npy").astype(np.float32)
    y = np.load(launched.folder / "layers/labels.npy")
    test = np.load(launched.folder / "layers/split.npy") == "test"
    merged = launched.data.of(name).merged()
    pipeline = make_pipeline(StandardScaler(), LogisticRegressionCV(
        Cs=10, cv=5, max_iter=1000, scoring="accuracy", l1_ratios=(0.0,),
        use_legacy_attributes=False,
    ))  # fmt: skip
    pipeline.fit(merged.raw.X[:], merged.raw.y)
    assert len(merged.raw) == (~test).sum()
    assert (pipeline.predict(X[test]) == report.baseline.predicted).mean() > 0.99
    assert report.baseline.test_accuracy == pytest.approx(
        pipeline.score(X[test], y[test]), abs=0.02
    )


def test_a_study_goes_on_and_a_changed_one_is_refused(launched: Launched) -> None:
    again = run_study(launched.spec, launched.data, launched.settings, QUIET)
    assert again.trials == launched.report.trials
    files = {name: f"layers/{name}.npy" for name in LAYERS}
    fewer = load(layered_study(launched.folder, {"data.features": dict([*files.items()][:-1])}))
    with pytest.raises(LockstepError, match=r"data.features: removed layer-11 = 'layers/layer-11"):
        run_study(fewer, load_data(fewer, launched.settings, print), launched.settings, QUIET)
    shutil.copy(launched.folder / files[BEST], launched.folder / "layers/x.npy")
    other = load(layered_study(launched.folder, {"data.features": files | {BEST: "layers/x.npy"}}))
    with pytest.raises(LockstepError, match=r"changed layer-9 = 'layers/layer-9\.npy' → 'layers/x"):
        run_study(other, load_data(other, launched.settings, print), launched.settings, QUIET)


SEARCHES: dict[str, dict[str, Any]] = {
    "tpe": {"sampler": "tpe", "trials": 12, "cohort": 4},  # more than it draws at random
    "random": {"sampler": "random", "trials": 4, "cohort": 2},
    "qmc": {"sampler": "qmc", "trials": 4, "cohort": 2},
    "cmaes": {"sampler": "cmaes", "trials": 6, "cohort": 3},
    "gp": {"sampler": "gp", "trials": 12, "cohort": 6},
    "pruned, replicates and finalists": {
        "pruner": "halving", "reduction": 2, "min_epochs": 1, "replicates": 2, "finalists": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize("options", SEARCHES.values(), ids=SEARCHES)
def test_every_search_has_the_features(tmp_path: Path, options: dict[str, Any]) -> None:
    if options.get("sampler") == "gp":
        pytest.importorskip("torch")
    ranges = {"learning_rate": {"low": 0.03, "high": 0.3, "log": True},
              "weight_decay": {"low": 0.0, "high": 0.01}}  # fmt: skip
    found = Launched(tmp_path, {}, **({} if "pruner" in options else ranges) | options)
    tried = {trial.hyperparameters.features for trial in found.report.trials}
    assert len(tried) > 1
    assert tried <= set(LAYERS)
    for trial in optuna_trials(found.settings.home, "small"):
        assert trial.params["features"] in LAYERS
        assert trial.distributions["features"].choices == LAYERS  # type: ignore[attr-defined]
    choice = found.report.choice
    assert choice is not None
    assert choice.layers is not None
    assert choice.layers.best.trial == choice.best.trial.number
    if found.report.finals is not None:
        assert len(found.report.finals.finalists) == 2
        number = found.report.finals.winner.trial
        (winner,) = [each for each in found.report.trials if each.number == number]
        report = retrain(found.spec, found.settings, QUIET, seeds=0)
        assert report.trial == number
        name = winner.hyperparameters.features
        assert report.features == (name, f"layers/{name}.npy")


def test_the_best_of_each_layer_keeps_its_weights(tmp_path: Path) -> None:
    """Otherwise a layer that is not among the best could not be compared with them."""
    found = Launched(tmp_path, {"search.keep_weights": 2})
    choice = found.report.choice
    assert choice is not None
    assert choice.layers is not None
    assert [layer.name for layer in choice.layers.found] == list(LAYERS)
    trials = found.report.trials
    best = {min((t for t in trials if t.hyperparameters.features == name), key=_loss).number
            for name in LAYERS}  # fmt: skip
    expected = best | {trial.number for trial in sorted(trials, key=_loss)[:2]}
    assert {standing.trial.number for standing in choice.standings} == expected
    assert len(choice.not_kept) == len(trials) - len(expected)
    store = client(found.settings.home)
    kept = set()
    for run in runs(found.settings.home, "small", "trial"):
        path = store.download_artifacts(run.info.run_id, "result.npz", str(tmp_path))
        with np.load(path) as arrays:
            if "W" in arrays:
                kept.add(int(run.data.tags["lockstep.trial"]))
    assert kept == expected
    again = run_study(found.spec, found.data, found.settings, QUIET)
    assert again.choice is not None
    assert again.choice.layers == choice.layers


def _loss(trial: FinishedTrial) -> float:
    return trial.val_loss


def test_folds(tmp_path: Path) -> None:
    keys = {"data.folds": 3, "data.validation_fraction": None}
    found = Launched(tmp_path, keys, weight_decay=[0.0])
    layers = found.compared().choice.layers
    assert layers is not None
    assert layers.examples == len(found.data.train)
    assert layers.best.name in (BEST, TIED)


def test_one_set_of_features_is_a_study_like_any_other(tmp_path: Path) -> None:
    found = Launched(tmp_path, {"data.features": [f"layers/{BEST}.npy"]}, weight_decay=[0.0])
    report = json.dumps(found.report.as_json()) + json.dumps(found.compared().as_json())
    assert '"features"' not in report
    text = launch_summary(found.report, found.spec, found.settings)
    assert "features layer" not in text
    assert f"{BEST}, learning rate" not in text
    assert not (found.settings.figures("small") / "layers.png").exists()
    assert retrain(found.spec, found.settings, QUIET, seeds=0).model is not None


def test_no_table_of_layers_if_all_trials_of_all_but_one_diverged(tmp_path: Path) -> None:
    """Features of a huge scale, not standardised, diverge; the layer that is left is the best."""
    keys = {"data.scale": "none"}
    spec = load(layered_study(tmp_path, keys, weight_decay=[0.0], learning_rate=[30.0]))
    for name in LAYERS:
        if name != BEST:
            path = tmp_path / f"layers/{name}.npy"
            np.save(path, 1e18 * np.load(path).astype(np.float32))
    settings = Settings(home=tmp_path / "runs", workers=1)
    report = run_study(spec, load_data(spec, settings, print), settings, QUIET)
    assert report.choice is not None
    assert report.choice.layers is not None
    assert report.choice.layers.missing == [name for name in LAYERS if name != BEST]
    text = compare_summary(compare(spec, settings, QUIET))
    assert "no trial could be compared: layer-2, layer-10, layer-11" in text


def assert_killed_and_continued_to_the_same_bits(
    undisturbed: Launched, folder: Path, **options: object
) -> None:
    """Launch the same study in another folder, in processes, of which two or three are killed."""
    folder.mkdir()
    layered_study(folder, {"baseline": BASELINE}, **options)
    kills = Counter[int]()
    for _ in range(3):
        process = launched_until_more_is_recorded(folder)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills[process.returncode] += 1
    assert kills[-signal.SIGKILL] > 1
    continued = lockstep("launch", "study.toml", "--json", cwd=folder, variables=PAINTED)
    assert continued.code == 0, continued.err
    assert scores(folder / "runs", "small") == scores(undisturbed.settings.home, "small")
    expected = json.loads(json.dumps(undisturbed.report.as_json()))
    for key in ("trials", "best", "choice", "finals", "epochs"):
        assert continued.json[key] == expected[key]
    names = [sorted(run.info.run_name for run in runs(home, "small", "trial"))
             for home in (folder / "runs", undisturbed.settings.home)]  # fmt: skip
    assert names[0] == names[1]
    pictures = [(each / "runs/small/figures/layers.png").read_bytes()
                for each in (folder, undisturbed.folder)]  # fmt: skip
    assert pictures[0] == pictures[1]


def test_a_grid_is_killed_and_continued(launched: Launched, tmp_path: Path) -> None:
    assert_killed_and_continued_to_the_same_bits(launched, tmp_path / "killed")


def test_a_pruned_search_is_killed_and_continued(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "sampler": "tpe", "trials": 18, "cohort": 6, "pruner": "hyperband", "min_epochs": 2,
        "epochs": 18, "replicates": 2, "finalists": 2,
    }  # fmt: skip
    (tmp_path / "undisturbed").mkdir()
    with painted():
        undisturbed = Launched(tmp_path / "undisturbed", {"baseline": BASELINE}, **options)
    assert_killed_and_continued_to_the_same_bits(undisturbed, tmp_path / "killed", **options)


def test_runs_that_mlflow_lost_are_written_again(launched: Launched, tmp_path: Path) -> None:
    """By `sync`, to the same numbers; the home is moved with the study before."""
    shutil.copytree(launched.folder, tmp_path, dirs_exist_ok=True)
    spec = load(layered_study(tmp_path, {"baseline": BASELINE}))
    home = tmp_path / "runs"
    store = client(home)
    before = {run.info.run_name: run.data.metrics for run in runs(home, "small", "trial")}
    for run in runs(home, "small", "trial")[:3]:
        store.delete_run(run.info.run_id)
    assert sync(spec, Settings(home=home, workers=1), QUIET).written == 3
    assert {r.info.run_name: r.data.metrics for r in runs(home, "small", "trial")} == before
