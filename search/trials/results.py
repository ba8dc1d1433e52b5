"""The weights and curves that are stored with a study's runs, read once and kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.datasets.dataset import Matrix
from core.trainer.result import Curves
from search.trials.finished_trial import FinishedTrial

# If more results than this are kept, those that were not used for longest are dropped. They are
# read again when they are needed.
MAX_KEPT_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Result:
    """The final weights (D, C) and biases (C,) of a trial, and its curves with every epoch.

    weights, bias: None if those of the best trials only are kept, and this one is not among them.
    folds: the weights and biases of each fold, whose means the above are; empty if a part is held
        out instead.
    """

    weights: Matrix | None
    bias: Matrix | None
    curves: Curves
    folds: tuple[tuple[Matrix, Matrix], ...] = ()

    @property
    def by_fold(self) -> tuple[tuple[Matrix, Matrix], ...]:
        """The weights and biases with which each held-out part is scored, one for each part; empty
        if they are not kept."""
        if self.weights is None or self.bias is None:
            return ()
        return self.folds or ((self.weights, self.bias),)

    @property
    def nbytes(self) -> int:
        """The size in memory, in bytes."""
        curves = sum(values.nbytes for values in self.curves.by_name().values())
        folds = sum(W.nbytes + b.nbytes for W, b in self.folds)
        own = sum(array.nbytes for array in (self.weights, self.bias) if array is not None)
        return own + curves + folds


Read = Callable[[Sequence[FinishedTrial]], Sequence[Result | None]]


class Results:
    """The results of a study's trials, each of which is read when it is first needed.

    read: returns the results of some trials in the same order, with None for those that their runs
        no longer have.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._kept: OrderedDict[str, Result | None] = OrderedDict()  # by run id, last used last
        self._bytes = 0

    def of(self, trials: Sequence[FinishedTrial]) -> list[Result | None]:
        """Return the results of these trials in the same order.

        A result is None if its run no longer has it.
        """
        new = [trial for trial in trials if trial.run_id not in self._kept]
        read = self._read(new) if new else ()
        found = {trial.run_id: result for trial, result in zip(new, read, strict=True)}
        results = [
            found[trial.run_id] if trial.run_id in found else self._kept[trial.run_id]
            for trial in trials
        ]
        for trial, result in zip(trials, results, strict=True):
            self._keep(trial.run_id, result)
        return results

    def get(self, trial: FinishedTrial) -> Result | None:
        """Return the result of one trial; None if its run no longer has it."""
        return self.of([trial])[0]

    def _keep(self, run_id: str, result: Result | None) -> None:
        """Keep a result as the last used one, and drop others if there are too many."""
        if run_id not in self._kept:
            self._bytes += 0 if result is None else result.nbytes
        self._kept[run_id] = result
        self._kept.move_to_end(run_id)
        while self._bytes > MAX_KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= 0 if oldest is None else oldest.nbytes
