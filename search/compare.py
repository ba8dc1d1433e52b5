"""Compare the trials of a study: their ranking, pictures of the space, links into the MLflow UI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.result import Status
from search import links
from search.console import Console, table
from search.errors import NothingToShowError
from search.finished_trial import FinishedTrial, ranked
from search.heat_maps import heat_maps
from search.settings import Settings
from search.spec import StudySpec
from search.study import load_study
from search.study_report import best_runs, note, trial_points
from search.tracking_store import load_tracker

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """Trials best first, those without a score last; where to look at them."""

    spec: StudySpec
    trials: list[FinishedTrial]
    compare_url: str
    charts_url: str
    heat_maps: str

    def as_json(self) -> dict[str, Any]:
        return {
            "study": self.spec.name,
            "trials": [_row(trial) for trial in self.trials],
            "compare_url": self.compare_url,
        }


def _row(trial: FinishedTrial) -> dict[str, Any]:
    scored = trial.status is not Status.DIVERGED
    return {
        "number": trial.number,
        "learning_rate": trial.hyperparameters.learning_rate,
        "weight_decay": trial.hyperparameters.weight_decay,
        "batch_size": trial.hyperparameters.batch_size,
        "status": trial.status.name.lower(),
        "val_loss": trial.val_loss if scored else None,
        "val_accuracy": trial.val_accuracy if scored else None,
        "best_epoch": trial.best_epoch,
        "stopped_epoch": trial.stopped_epoch,
        "run_id": trial.run_id,
    }


def compare(spec: StudySpec, settings: Settings, console: Console) -> Comparison:
    """Raises NothingToShowError when no trial of the study has finished."""
    study = load_study(spec, settings)
    finished = study.finished()
    ranking = ranked(finished, spec.search.objective)
    if not ranking:
        raise NothingToShowError(
            f"study {spec.name} has no completed trial yet: run `lockstep launch {spec.name}`"
        )
    tracker = load_tracker(spec, settings, "lockstep compare")
    folder = settings.figures(spec.name)
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "heat_maps.png"
    picture.write_bytes(heat_maps(trial_points(finished), spec.search.objective))
    best = best_runs(ranking)
    place = (settings.ui_address, tracker.experiment_id)
    if len(finished) < study.budget:
        console.say(f"{len(finished):,} of {study.budget:,} trials so far\n")
    return Comparison(
        spec=spec,
        trials=ranking + [trial for trial in finished if trial.status is not Status.COMPLETED],
        compare_url=links.compare_url(*place, best),
        charts_url=links.charts_url(*place, links.BEST_VIEW),
        heat_maps=str(picture),
    )


def summary(comparison: Comparison) -> str:
    """The ranking and where to go from it."""
    spec = comparison.spec
    rows = [
        [
            f"{place}",
            f"#{trial.number}",
            f"{trial.hyperparameters.learning_rate:.3g}",
            f"{trial.hyperparameters.weight_decay:.3g}",
            f"{trial.hyperparameters.batch_size}",
            f"{trial.val_loss:.5f}",
            f"{100 * trial.val_accuracy:.2f} %",
            f"{trial.best_epoch}",
        ]
        for place, trial in enumerate(comparison.trials[:SHOWN], start=1)
        if trial.status is Status.COMPLETED
    ]
    headings = [
        "", "trial", "learning rate", "weight decay", "batch", "val loss", "accuracy", "best epoch",
    ]  # fmt: skip
    return "\n".join(
        [
            table(headings, rows),
            "",
            *note(spec, comparison.trials),
            "",
            f"heat maps   {comparison.heat_maps}",
            f"compare     {comparison.compare_url}",
            f"charts      {comparison.charts_url}",
            f"(the links need the MLflow UI: lockstep ui {spec.name})",
        ]
    )
