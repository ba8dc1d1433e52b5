"""A study in Python: define it, launch it, compare its trials, retrain the best."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lockstep.axes import Values
from lockstep.calling import called, plainly
from lockstep.definition import Definition, InFile, InPython, StudyText
from lockstep.given import Data
from search.errors import LockstepError
from search.settings import Settings

if TYPE_CHECKING:
    from lockstep.classifier import LockstepClassifier
    from lockstep.found import Found, FoundTogether
    from search.commands.compare import Comparison
    from search.console import Console
    from search.spec.study_spec import StudySpec

Result = TypeVar("Result")
Several = bool | float | str | Sequence[Any]  # a value for all trials, or several that are searched


class Study:
    """A search over configurations of a softmax regression on some data.

    X, y: examples and their labels. X is an array (N, D) or of images (N, H, W[, 3]), a data frame
        with named columns, the name of a data set (such as "digits") or of a file, or a dict of
        names to arrays: several sets of features, of which the best is found. y is an array (N,),
        or the name of the column of a table.
    X_val, y_val, X_test, y_test: parts that are held out. Otherwise a fifth of the examples is
        split off for the test, and what is left is divided as ``folds`` or ``validation_fraction``
        says.
    split, groups: for each row, "train", "validation" or "test"; and which rows belong together.
    image_shape: (H, W) or (H, W, 3), if the rows of X are images.
    learning_rate, weight_decay, batch_size: what is searched: a list, or `log` and `linear` ranges.
        If you leave one of them out, then whatever you leave out fits the data, as `lockstep init`
        chooses it.
    seed: of the division of the data, of the order of the examples, and of the sampler.
    total_epochs: the budget in epochs, summed over trials.
    baseline: what the best is compared with on the test set: "lbfgs", scikit-learn's way, or a
        configuration as a dict.
    home: the folder that everything is written into. storage, tracking_uri, ui_address,
        data_dir: as the options of the command line, and with the same environment variables.

    All others are keys of a study file, which README describes.

    Raises LockstepError if an option is not valid. Data is looked at when it is needed.
    """

    def __init__(
        self,
        name: str,
        X: Any,
        y: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        X_test: Any = None,
        y_test: Any = None,
        split: Any = None,
        groups: Any = None,
        image_shape: Sequence[int] | None = None,
        learning_rate: Values | None = None,
        weight_decay: Values | None = None,
        batch_size: Sequence[int] | int | None = None,
        epochs: int | None = None,
        penalty: Literal["norm", "squared"] | None = None,
        bias: Several | None = None,
        momentum: Several | None = None,
        schedule: Several | None = None,
        warmup_epochs: Several | None = None,
        class_weight: Literal["balanced"] | None = None,
        classes: Sequence[int | str] | None = None,
        categorical: Literal["one-hot"] | None = None,
        ignore: Sequence[str] | None = None,
        scale: Literal["auto", "none", "standard", "l2"] | None = None,
        validation_fraction: float | None = None,
        folds: int | None = None,
        order: Literal["auto", "exact", "blocks"] | None = None,
        sampler: str | None = None,
        objective: Literal["val_loss", "val_accuracy", "val_balanced_accuracy"] | None = None,
        trials: int | None = None,
        total_epochs: int | None = None,
        minutes: float | None = None,
        patience: int | None = None,
        regret: float | None = None,
        cohort: int | None = None,
        pruner: Literal["none", "halving", "hyperband"] | None = None,
        reduction: int | None = None,
        min_epochs: int | None = None,
        replicates: int | None = None,
        finalists: int | None = None,
        keep_weights: int | Literal["all"] | None = None,
        baseline: Literal["lbfgs"] | Mapping[str, Any] | None = None,
        description: str | None = None,
        seed: int | None = None,
        home: str | os.PathLike[str] = "runs",
        storage: str | None = None,
        tracking_uri: str | None = None,
        ui_address: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        given = locals()
        others = ("X_val", "y_val", "X_test", "y_test", "split", "groups", "image_shape")
        data = Data(X, y, {key: given[key] for key in others if given[key] is not None})
        places = ("home", "storage", "tracking_uri", "ui_address", "data_dir")
        left = {"self", "name", "X", "y", *others, *places}
        options = {key: value for key, value in given.items() if key not in left}
        definition = InPython(name, data, options)
        with plainly():
            definition.check()
        self._definition: Definition = definition
        self._places = {key: given[key] for key in places}

    @classmethod
    def _of(cls, spec: StudySpec, places: dict[str, Any]) -> Study:
        """Return the study of a study file."""
        study = cls.__new__(cls)
        study._definition, study._places = InFile(spec), places
        return study

    @property
    def name(self) -> str:
        """The name of the study, of its folder in the home, and of its registered model."""
        return self._definition.name

    def __repr__(self) -> str:
        return f"lockstep.Study({self.name!r}, home={os.fspath(self._places['home'])!r})"

    def launch(
        self,
        *,
        workers: int | None = None,
        recorders: int | None = None,
        cluster: str | None = None,
        patience: float = 120.0,
        every_epoch: bool = False,
        verbose: bool = True,
    ) -> Found:
        """Train every trial, or those that are still missing, and return what was found.

        A study that was interrupted is continued. It is written into the home, and can be
        continued by `lockstep launch`, too.

        workers: the number of training processes, by default that of the cores. recorders: of those
        that write runs to MLflow. cluster: "local" or the address of a Dask scheduler. patience:
        the seconds to wait for a server that stops answering. every_epoch: whether all epochs are
        logged to MLflow. verbose: whether it prints what it does.

        Raises LockstepError; KeyboardInterrupt after Ctrl-C, when what is finished is safe.
        """
        if workers is not None:
            _check_number("workers", workers, 1, 1024)
        _check_number("patience", patience, 0, math.inf, Real)
        if recorders is not None:
            _check_number("recorders", recorders, 1, 64)
        settings = self._settings(
            **({} if workers is None else {"workers": workers}),
            recorders=recorders,
            cluster=cluster or os.environ.get("LOCKSTEP_CLUSTER") or None,
            patience=float(patience),
            every_epoch=every_epoch,
        )

        def run(study: StudyText, console: Console) -> Found:
            from lockstep.found import found_by_launch
            from lockstep.written import keep
            from search.commands.launch import launch

            def on_open() -> None:
                if study.text is not None:
                    keep(study.spec, study.files, study.text)

            return found_by_launch(launch(study.spec, settings, console, on_open), settings)

        return self._run(run, settings, verbose)

    def compare(self, *others: Study, verbose: bool = True) -> Found | FoundTogether:
        """Rank the trials and say how sure the ranking is; with other studies, compare the best of
        each.

        Raises LockstepError, for example if nothing is finished.
        """

        def compared(study: Study) -> Comparison:
            settings = study._settings()

            def run(text: StudyText, console: Console) -> Comparison:
                from search.commands.compare import compare

                return compare(text.spec, settings, console)

            return study._run(run, settings, verbose)

        found = [compared(each) for each in (self, *others)]
        from lockstep.found import FoundTogether, found_by_compare
        from search.commands.compare_studies import compare_studies, summary

        if len(found) == 1:
            return found_by_compare(found[0], self._settings())
        together = compare_studies(found)
        return FoundTogether(together.as_json(), summary(together))

    def retrain(
        self,
        *,
        rule: Literal["best", "one-se"] = "best",
        trial: int | None = None,
        seeds: int = 5,
        verbose: bool = True,
    ) -> LockstepClassifier:
        """Train the best on train + validation, judge it on the test set, register it in MLflow,
        and return it as a fitted classifier.

        Nothing else uses the test set, and each use is recorded. `model` returns the registered
        model again without it.

        rule: "one-se" takes the simplest trial within one standard error of the best. trial: takes
        the trial of this number instead. seeds: how many further fits show the effect of the order
        of the examples.

        The classifier's attribute ``report_`` is what `--json` prints: scores with intervals, the
        comparison with the baseline, and the address of the model. Raises LockstepError.
        """
        if rule not in ("best", "one-se"):
            raise LockstepError(f"rule = {rule!r}: must be 'best' or 'one-se'")
        if trial is not None:
            _check_number("trial", trial, 0, math.inf)
        _check_number("seeds", seeds, 0, 100)
        settings = self._settings()

        def run(study: StudyText, console: Console) -> LockstepClassifier:
            from search.commands.retrain import retrain
            from search.commands.retrain_report import summary

            report = retrain(study.spec, settings, console, rule=rule, number=trial, seeds=seeds)
            console.say(summary(report))
            if report.failure is not None:
                raise report.failure
            version = None if report.model is None else report.model.version
            model = self._registered(study.spec, settings, version)
            model.loss_curve_ = report.chosen.result.curves.train_loss
            model.report_ = report.as_json()
            return model

        return self._run(run, settings, verbose)

    def model(self) -> LockstepClassifier:
        """Return the champion among the registered models as a fitted classifier.

        Raises LockstepError if there is none yet.
        """
        settings = self._settings()

        def run(study: StudyText, console: Console) -> LockstepClassifier:
            return self._registered(study.spec, settings, None)

        return self._run(run, settings, verbose=False)

    def _registered(
        self, spec: StudySpec, settings: Settings, version: int | None
    ) -> LockstepClassifier:
        """Return a version of the registered model, or the champion, as a classifier."""
        from lockstep.registered import classifier_of
        from search.commands.home import readable
        from search.model.champion import load_champion, load_version
        from search.study.opening import stored_identity
        from search.study.storage import check_launched
        from search.tracking.store import load_tracker

        check_launched(spec.name, settings)
        identity = stored_identity(spec, settings)
        with readable(settings, lambda sentence: None) as places:
            tracker = load_tracker(spec, places, "lockstep", identity)
            if version is None:
                champion = load_champion(tracker, spec)
            else:
                named = tracker.client.get_model_version(spec.name, str(version))
                champion = load_version(tracker, named)
            return classifier_of(tracker, champion, self._definition.labels())

    def _run(
        self,
        action: Callable[[StudyText, Console], Result],
        settings: Settings,
        verbose: bool,
    ) -> Result:
        """Return what an action returns that is given the study file and a console."""

        def run() -> Result:
            from lockstep.written import data_written
            from search.console import Console

            console, folder = Console(silent=not verbose), settings.folder(self.name)
            files = self._definition.files(folder)
            try:
                with data_written(files, folder):
                    return action(self._definition.study(files, settings, console), console)
            except LockstepError as error:
                raise type(error)(self._definition.told(str(error), folder)) from error

        return called(run, settings)

    def _settings(self, **options: Any) -> Settings:
        """Return the settings of a command. Raises LockstepError if a place is not valid."""
        from search.tracking_uri import named_tracking_uri, named_ui_address

        data_dir = self._places["data_dir"]
        return Settings(
            home=Path(self._places["home"]),
            storage=self._places["storage"] or os.environ.get("LOCKSTEP_STORAGE") or None,
            tracking_uri=named_tracking_uri(self._places["tracking_uri"]),
            public_address=named_ui_address(self._places["ui_address"]),
            data_dir=None if data_dir is None else Path(data_dir),
            **options,
        )


def _check_number(name: str, value: Any, low: int, high: float, kind: Any = Integral) -> None:
    """Raise LockstepError unless a value is a number of this kind from ``low`` to ``high``."""
    if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
        what = "a whole number" if kind is Integral else "a number"
        most = "" if high == math.inf else f" to {high:g}"
        raise LockstepError(f"{name} = {value!r}: give {what} from {low}{most}")


def load(
    study: str | os.PathLike[str],
    *,
    home: str | os.PathLike[str] = "runs",
    storage: str | None = None,
    tracking_uri: str | None = None,
    ui_address: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Study:
    """Return the study of a study file.

    study: the path of the file, the bare name of one in studies/, or that of a study which was made
    in Python in this home. The others: see `Study`.

    Raises LockstepError if there is no such file, or it is not valid.
    """
    from lockstep.written import STUDY_FILE
    from search.spec.study_file import find
    from search.spec.study_file import load as load_file

    named, there = os.fspath(study), Path(home) / study / STUDY_FILE
    is_made = Path(named).name == named and there.is_file() and not Path(named).is_file()
    places = {
        "home": home, "storage": storage, "tracking_uri": tracking_uri, "ui_address": ui_address,
        "data_dir": data_dir,
    }  # fmt: skip
    with plainly():
        return Study._of(load_file(there if is_made else find(named)), places)
