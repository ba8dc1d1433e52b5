"""Keep the weights of all trials in their runs, or those of the best trials only.

With thousands of features and classes the weights of a study's trials would fill a disk, and only
the best trials are compared example by example. The best trial of each set of features is among
these, however bad it is, because the sets are compared by their best trials. A trial is written
with its weights if it is among the best when it ends. Once better ones have pushed it out, its
weights are removed from its run, after its successor is recorded: whenever a launch is killed, the
best have their weights, and the next launch removes what was still to be removed. A trial that has
left the best never comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from core.datasets.study_data import StudyData
from core.trainer.result import Status
from search.spec.kept_weights import size_of, weights_kept
from search.spec.study_spec import StudySpec
from search.tracking.names import Weights
from search.tracking.results import present
from search.tracking.tracker import Tracker
from search.tracking.weights import removable, remove_weights
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.repeats import trained
from search.wording import counted


class KeptWeights:
    """The trials of a study whose weights are kept.

    most: how many they are besides the best of each set of features, None if their number is not
        limited.
    """

    def __init__(
        self, spec: StudySpec, data: StudyData, finished: Iterable[FinishedTrial] = ()
    ) -> None:
        self.most = weights_kept(spec, *_shape(data))
        self._size = size_of(spec, *_shape(data))
        self._spec = spec
        self._kept = self._best_of(ranked(trained(finished), spec.search.objective))

    def _key(self, trial: FinishedTrial) -> tuple[float, ...]:
        """Return the key by which trials are ranked."""
        return (*self._spec.search.objective.rank_key(trial), trial.number)

    def _best_of(self, ranking: Sequence[FinishedTrial]) -> list[FinishedTrial]:
        """Return the trials whose weights are worth keeping, best first, as they are given."""
        first: dict[str, FinishedTrial] = {}
        for trial in ranking:
            first.setdefault(trial.hyperparameters.features, trial)
        of_features = {trial.number for trial in first.values()}
        return [
            trial
            for rank, trial in enumerate(ranking)
            if self.most is None or rank < self.most or trial.number in of_features
        ]

    def _with(self, trial: FinishedTrial) -> list[FinishedTrial]:
        """Return those that are kept and this one, best first; it may be one that trained on."""
        others = [each for each in self._kept if each.number != trial.number]
        return sorted([*others, trial], key=self._key)

    def has(self, trial: FinishedTrial) -> bool:
        """Return whether the weights of a finished trial are kept."""
        return self.most is None or any(trial.number == each.number for each in self._kept)

    def would_have(self, trial: FinishedTrial) -> bool:
        """Return whether the weights of a trial that is not recorded yet would be kept."""
        if self.most is None:
            return True
        if trial.status is not Status.COMPLETED:
            return False
        return trial in self._best_of(self._with(trial))

    def record(self, tracker: Tracker, trial: FinishedTrial, written: Weights) -> None:
        """Note a trial that was recorded, and remove the weights of the one that it pushes out.

        written: whether it was written with its weights. If one that was recorded after that is
        better, it loses them itself.
        """
        if self.most is None:
            return
        if not self.would_have(trial):
            if written is Weights.KEPT:
                remove_weights(tracker, trial.run_id)
            return
        together = self._with(trial)
        self._kept = self._best_of(together)
        for pushed_out in (each for each in together if not self.has(each)):
            if present(tracker, [pushed_out], 1):
                remove_weights(tracker, pushed_out.run_id)

    def tidy(
        self, tracker: Tracker, finished: Iterable[FinishedTrial], say: Callable[[str], None]
    ) -> None:
        """Remove the weights that an earlier launch left, because it was killed or kept more.

        Those that somebody asked for with `lockstep sync --weights` stay.
        """
        left = [
            trial
            for trial in trained(finished)
            if not self.has(trial) and removable(tracker, trial.run_id)
        ]
        if left:
            say(
                f"  note    the weights of {counted(len(left), 'trial')} are removed from MLflow: "
                f"those of the best {self.most:,} are kept"
            )
        for trial in left:
            remove_weights(tracker, trial.run_id)

    def described(self) -> str | None:
        """Return a sentence on what is kept, None if everything is."""
        if self.most is None:
            return None
        why = "search.keep_weights"
        if self._spec.search.keep_weights is None:
            each = self._size / 1e6
            why = f'{each:.3g} MB a trial; search.keep_weights = "all" keeps all'
        others = " and the best of each set of features" if self._spec.data.several else ""
        return f"kept of the best {counted(self.most, 'trial')}{others} ({why})"


def _shape(data: StudyData) -> tuple[int, int]:
    """Return the number of features, the largest of all sets, and that of classes."""
    widest = max(data.of(name).train.X.shape[1] for name in data.names)
    return widest, len(data.train.class_names)
