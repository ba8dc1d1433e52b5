"""An open study: the data, trials, runs and training that launch, sync and retrain share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.datasets.study_data import StudyData
from core.trainer.pruning import Schedule
from search.commands.home import settle
from search.commands.interrupts import StopRequest, stop_requests
from search.commands.study_data import order_for
from search.console import Console, Progress
from search.errors import LockstepError
from search.settings import Settings
from search.spec.objective import Objective
from search.spec.study_spec import StudySpec
from search.study.opening import open_study
from search.study.search_study import SearchStudy
from search.tracking.client import answering, impatient
from search.tracking.place import check_place
from search.tracking.results import read_results
from search.tracking.store import LAUNCH, load_tracker, open_tracker
from search.tracking.tracker import Tracker
from search.training.begun import Begun
from search.training.choose import open_executor
from search.training.cohort import Cohort, Training
from search.trials.finished_trial import FinishedTrial
from search.trials.results import Results
from search.trials.trial import PlannedTrial


@dataclass(frozen=True, slots=True)
class Session:
    """A study whose lease this command holds, with what launch, sync and retrain need of it.

    stop: whether the user has asked to stop.
    """

    spec: StudySpec
    data: StudyData
    settings: Settings
    console: Console
    study: SearchStudy
    stop: StopRequest

    @contextlib.contextmanager
    def tracker(self) -> Iterator[Tracker]:
        """Open the study's runs in MLflow; end its parent run if the command fails.

        Raises LockstepError, also instead of the errors of MLflow when its server does not answer.
        """
        study = self.study
        tracker = open_tracker(self.spec, self.settings, study.identity(), study.mirror)
        try:
            with answering(self.settings):
                yield tracker
        except BaseException:
            # If the server itself failed, the next launch corrects the status of the run.
            with contextlib.suppress(Exception), impatient():
                tracker.stop()
            raise

    @contextlib.contextmanager
    def training(
        self, progress: Progress, on_wait: Callable[[], None] = lambda: None
    ) -> Iterator[Training]:
        """Open an executor on the study's data, to train cohorts with.

        on_wait: called a few times per second while no stack is ready. Raises LockstepError.
        """
        balanced = self.spec.search.objective is Objective.BALANCED_ACCURACY
        over = self.data.validation if balanced else None
        model = self.spec.model
        folds = {
            name: [model.training_data(*fold, over, self.study.order) for fold in splits.folds]
            for name, splits in self.data.by_features.items()
        }
        flat = [each for several in folds.values() for each in several]
        with open_executor(flat, self.settings, self.console.say) as executor:
            yield Training(
                penalty=self.spec.model.penalty,
                objective=self.spec.search.objective,
                folds=folds,
                executor=executor,
                watch=TrainingWatch(progress, self.stop, on_wait),
            )

    def cohort(
        self, trials: Sequence[PlannedTrial], finished: Mapping[int, FinishedTrial]
    ) -> Cohort:
        """Return these trials as a cohort. finished: the recorded trials, by number.

        Those that were recorded before the number of epochs was raised are to be recorded again.
        """
        model, search = self.spec.model, self.spec.search
        known = [finished[trial.number] for trial in trials if trial.number in finished]
        short = [trial for trial in known if not self.study.is_whole(trial)]
        return Cohort(
            trials=trials,
            schedule=self.study.schedule(trials),
            seeds=[model.seed + r for r in range(search.replicates)],
            recorded={each.number: each for each in known if self.study.is_whole(each)},
            begun=self._begun(short) if short else None,
        )

    def _begun(self, short: Sequence[FinishedTrial]) -> Begun | None:
        """Return what the runs of these trials keep, None if there are no runs.

        It is read now, because a stack needs it before it is trained.
        """
        if self.spec.search.replicates > 1 or self.spec.data.folds is not None:
            return None  # Their runs have means.
        with contextlib.suppress(LockstepError):
            tracker = load_tracker(self.spec, self.settings, LAUNCH, self.study.identity())
            results = results_of(tracker)
            by_number = {trial.number: trial for trial in short}
            epochs = {trial.number: trial.stopped_epoch for trial in short}
            return Begun(epochs, lambda number: results.get(by_number[number]))
        return None

    def full_training(self, trials: Sequence[PlannedTrial], seeds: Sequence[int]) -> Cohort:
        """Return these trials as a cohort that is trained with these seeds and never pruned."""
        full = Schedule((self.spec.model.epochs,), self.spec.search.reduction_factor, {})
        return Cohort(trials=trials, schedule=full, seeds=seeds)


@dataclass(frozen=True, slots=True)
class TrainingWatch:
    """A watch that shows the progress of the training, and stops it when the user asks.

    on_wait: what is done while no stack is ready.
    """

    progress: Progress
    stop: StopRequest
    on_wait: Callable[[], None]

    def trained(self, epochs: int) -> None:
        """Show that so many more epochs are trained."""
        self.progress.trained(epochs)

    def repeated(self, epochs: int) -> None:
        """Show that so many epochs are trained again."""
        self.progress.repeated(epochs)

    def waiting(self) -> None:
        """Do what can be done while no stack is ready."""
        self.on_wait()

    def stopping(self) -> bool:
        """Return whether the user has asked to stop."""
        return self.stop.made()


@contextlib.contextmanager
def open_session(
    spec: StudySpec, data: StudyData, settings: Settings, console: Console
) -> Iterator[Session]:
    """Hold the study's lease and handle requests to stop.

    A reader of the output that goes away asks to stop, too. Raises LockstepError.
    """
    check_place(settings)
    with (
        stop_requests(console.say) as stop,
        open_study(spec, settings, data.digests, data.scale, order_for(spec, data)) as study,
        contextlib.ExitStack() as stack,
    ):
        console.on_loss = stop.make_for
        stack.callback(setattr, console, "on_loss", None)
        settle(settings, spec.name, lambda sentence: console.say(f"  note    {sentence}"))
        if study.grown is not None:
            console.say(f"  grown   {study.grown}{_how_epochs_grow(study)}")
        yield Session(study.spec, data, settings, console, study, stop)


def _how_epochs_grow(study: SearchStudy) -> str:
    """Return where trials begin that are trained for more epochs, "" if none are."""
    if study.n_whole == len(study.finished()):
        return ""
    spec, anew = study.spec, []
    if spec.data.folds is not None:
        anew.append("folds")
    if spec.search.replicates > 1:
        anew.append("replicates")
    if any(trial.hyperparameters.momentum for trial in study.finished()):
        anew.append("momentum")
    if anew:
        return f"; trials with {' and '.join(anew)} begin anew, as runs do not keep all of it"
    return "; trials go on from the weights that their runs keep"


def results_of(tracker: Tracker) -> Results:
    """Return the results that are stored in a study's runs; each is read when it is asked for."""
    return Results(lambda trials: read_results(tracker, trials))
