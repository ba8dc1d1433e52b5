"""Write the MLflow run of a retrain: what needs no test set first, and its scores at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from core.datasets.splits import Merged
from search.commands.retrain_report import RetrainReport
from search.figures.confusion import confusion_matrix
from search.figures.curves import retrain_curves
from search.figures.picture_choice import weight_pictures
from search.model.fitting import Fit, Trained
from search.model.lbfgs import LbfgsModel
from search.spec.configuration import values_of
from search.spec.study_spec import StudySpec
from search.tracking.names import NOTE_TAG, TEMPLATES, TEST_SET_TAG, TEST_TIME_TAG
from search.tracking.tracker import Artifact, Tracker

CURVES = "accuracy_and_loss.png"


class Chosen(NamedTuple):
    """The trial that is retrained, how it was chosen, and for how many epochs it is trained."""

    trial: int
    rule: str
    epochs: int


class Models(NamedTuple):
    """The models that a retrain fitted, none of which has seen the test set.

    chosen: that of the chosen configuration. data: what it was fitted to, and the test set.
    baseline: that of the baseline, None if the study names none.
    baseline_features, baseline_data: the set of features of the baseline, which may be another one
        than that of the chosen configuration, and what it was fitted to.
    others: those of the chosen configuration with other seeds.
    """

    chosen: Trained
    data: Merged
    baseline: Trained | LbfgsModel | None
    baseline_features: str
    baseline_data: Merged
    others: list[Trained]

    @property
    def features(self) -> str:
        """The name of the set of features of the chosen configuration."""
        return self.chosen.result.hyperparameters.features


@dataclass(frozen=True, slots=True)
class RetrainRun:
    """A run of MLflow that a retrain writes."""

    tracker: Tracker
    run_id: str
    chosen: Chosen
    models: Models

    def log_models(self, spec: StudySpec) -> None:
        """Log all that needs no test set: parameters, curves, datasets, and pictures of weights."""
        models, chosen = self.models, self.models.chosen
        about = {"epochs": self.chosen.epochs, "rule": self.chosen.rule}
        if named := spec.data.named(models.features):
            about["features_file"] = named.file
            if models.baseline is not None:
                about["baseline_features"] = models.baseline_features
        tried = values_of(chosen.result.hyperparameters, spec)
        self.tracker.log_values(
            self.run_id,
            curves=chosen.result.curves,
            metrics={"fit_seconds": chosen.seconds},
            params={**spec.model.defining(), **tried, **about},
        )
        data, features = models.data, models.features
        self.tracker.log_dataset(self.run_id, "train + validation", data.train, features)
        self.tracker.log_dataset(self.run_id, "test", data.test, features)
        self.tracker.log_files(self.run_id, self._pictures())

    def _pictures(self) -> list[Artifact]:
        """Return the pictures of the weights, and the curves of the chosen model's training."""
        models, chosen, baseline = self.models, self.models.chosen, self.models.baseline
        pictures = weight_pictures(models.data.train)
        curves = retrain_curves(chosen.iterations, chosen.result.curves)
        files = [Artifact(TEMPLATES, pictures.one(chosen.weights)), Artifact(CURVES, curves)]
        if baseline is not None:
            its = weight_pictures(models.baseline_data.train)
            files.append(Artifact(f"baseline/{TEMPLATES}", its.one(baseline.weights)))
        # Weights of different features have no scale in common.
        if isinstance(baseline, Trained) and models.baseline_features == models.features:
            both = [(baseline.weights, "baseline"), (chosen.weights, f"trial #{self.chosen.trial}")]
            files.append(Artifact("weights_on_one_scale.png", pictures.side_by_side(both)))
        return files

    def log_scores(self, report: RetrainReport, when: str) -> None:
        """Log what was found on the test set; when: the time of this use of it."""
        used = {TEST_SET_TAG: report.test_label, TEST_TIME_TAG: when}
        self.tracker.log_values(self.run_id, metrics={}, tags=used)  # first, should the rest fail
        note = {NOTE_TAG: report.markdown()}
        self.tracker.log_values(self.run_id, metrics=report.metrics(), tags=note)
        test = self.models.data.test
        confusion = confusion_matrix(test.y, report.chosen.predicted, test.class_names)
        files = [
            Artifact(CURVES, _curves_figure(report.chosen)),  # now with the mark of the test set
            Artifact("confusion_matrix.png", confusion),
        ]
        if isinstance(report.baseline, Fit):
            files.append(Artifact(f"baseline/{CURVES}", _curves_figure(report.baseline)))
        self.tracker.log_files(self.run_id, files)


def _curves_figure(fit: Fit) -> bytes:
    """Return the figure of a fit's training, with its accuracy on the test set."""
    return retrain_curves(fit.iterations, fit.result.curves, fit.test_accuracy)
