"""The result of a launch, and how it is told."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from core.trainer.result import Status
from search.commands.driver import Seconds
from search.findings.choice import Choice
from search.findings.sentences import note
from search.settings import Settings
from search.spec.configuration import values_of
from search.spec.overrides import Override, combined
from search.spec.study_spec import StudySpec
from search.trials.finals import Finals
from search.trials.finished_trial import FinishedTrial
from search.trials.repeats import trained


@dataclass(frozen=True, slots=True)
class LaunchReport:
    """The result of a launch.

    finals: the results of the finalists, None if there are none.
    out_of_time: whether the budget of minutes is used up.
    stopped: why the search ended before its budget was spent, None if it did not.
    widening: the keys of the study file that search beyond the edge on which the best trial lies.
    """

    spec: StudySpec
    trials: list[FinishedTrial]
    best: FinishedTrial | None
    choice: Choice | None
    seconds: Seconds
    mlflow: dict[str, str | None]
    finals: Finals | None
    out_of_time: bool
    stopped: str | None
    widening: list[Override]

    def count(self, status: Status) -> int:
        """Return the number of trials with this status."""
        return sum(trial.status is status for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        best = self.best
        return {
            "study": self.spec.name,
            "trials": {
                "complete": self.count(Status.COMPLETED),
                "pruned": self.count(Status.PRUNED),
                "failed": self.count(Status.DIVERGED),
            },
            "best": best
            and {
                "number": best.number,
                **values_of(best.hyperparameters, self.spec),
                "val_loss": best.val_loss,
                "val_accuracy": best.val_accuracy,
                "val_balanced_accuracy": best.val_balanced_accuracy,
            },
            "choice": self.choice and self.choice.as_json(),
            "seconds": {
                "total": round(self.seconds.total, 3),
                "training": round(self.seconds.training, 3),
                "logging": round(self.seconds.logging, 3),
            },
            "finals": self.finals and self.finals.as_json(),
            "epochs": sum(trial.stopped_epoch for trial in trained(self.trials)),
            "repeats": len(self.trials) - len(trained(self.trials)),
            "out_of_time": self.out_of_time,
            "stopped": self.stopped,
            "widening": [str(each) for each in self.widening],
            "mlflow": self.mlflow,
        }


def _command(report: LaunchReport) -> str:
    """Return the command that searches beyond the edge, and keeps all trials."""
    variant = report.spec.variant
    given = variant.overrides if variant is not None and not variant.is_named else ()
    keys = [shlex.quote(str(each)) for each in combined(given, report.widening)]
    return " ".join(["lockstep launch", report.spec.argument, *(f"--set {key}" for key in keys)])


_OUT_OF_TIME = (
    "note     the budget of {:g} minutes is spent: raise search.minutes, "
    "and the same command continues"
)


def summary(report: LaunchReport, spec: StudySpec, settings: Settings) -> str:
    """Return the last lines that a launch prints: what was found, and what to type next."""
    seconds, named = report.seconds, spec.argument
    parts = [f"{report.count(Status.COMPLETED):,} completed"]
    for status, word in ((Status.PRUNED, "pruned"), (Status.DIVERGED, "diverged")):
        if report.count(status):
            parts.append(f"{report.count(status):,} {word}")
    lines = [
        "",
        f"{len(report.trials):,} trials ({', '.join(parts)}) in {seconds.total:.1f} s: "
        f"training {seconds.training:.1f} s, logging {seconds.logging:.1f} s, in parallel",
        *note(spec, report.trials, report.choice, report.finals),
        *([f"widen    {_command(report)}"] if report.widening else []),
        *([f"stopped  {report.stopped}"] if report.stopped else []),
        *([_OUT_OF_TIME.format(spec.search.minutes)] if report.out_of_time else []),
        "",
        f"figures  {settings.figures(spec.name)}",
    ]
    if report.best is not None:  # Otherwise there is nothing to rank and to retrain.
        lines += [
            f"next     lockstep compare {named}   ranking, heat maps, links into the MLflow UI",
            f"         lockstep retrain {named}   train the best again, score it on the test set",
        ]
    lines.append(f"         lockstep ui {named}        the runs side by side in your browser")
    return "\n".join(lines)
