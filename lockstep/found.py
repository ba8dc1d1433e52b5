"""What a study found, which shows itself: in a notebook as a page, elsewhere as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from search.commands.compare import Comparison
    from search.commands.launch_report import LaunchReport
    from search.findings.choice import Choice
    from search.settings import Settings
    from search.spec.study_spec import StudySpec
    from search.trials.finals import Finals
    from search.trials.finished_trial import FinishedTrial

_PICTURES = ("heat_maps.png", "layers.png", "weights_worst_to_best.png")


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """What a study has found so far.

    study: its name. report: what `--json` prints of it, as plain values. text: what the command
    line prints of it. figures: the folder of its pictures.
    """

    study: str
    report: dict[str, Any]
    text: str
    figures: Path
    _spec: StudySpec = field(repr=False)
    _trials: Sequence[FinishedTrial] = field(repr=False)
    _choice: Choice | None = field(repr=False)
    _finals: Finals | None = field(repr=False)
    _links: dict[str, str] = field(repr=False)

    @property
    def trials(self) -> pd.DataFrame:
        """The trials as a table of pandas, one row a trial: the best first, and those that were
        pruned or diverged last. The index is the number of the trial."""
        import pandas as pd

        from search.commands.compare import trial_row
        from search.trials.finished_trial import ranked

        ranking = ranked(self._trials, self._spec.search.objective)
        better = {trial.number for trial in ranking}
        rest = [trial for trial in self._trials if trial.number not in better]
        rows = [
            _plain(trial_row(trial, self._spec))
            | {"train_loss": trial.train_loss, "train_accuracy": trial.train_accuracy}
            for trial in [*ranking, *rest]
        ]
        table = pd.DataFrame(rows)
        if not rows:
            return table
        unused = [name for name in table.columns if table[name].isna().all()]
        return table.set_index("number").drop(columns=set(unused) - {"val_loss", "val_accuracy"})

    @property
    def best(self) -> dict[str, Any] | None:
        """The best trial by name: its number, hyperparameters and scores; None without one."""
        from search.commands.compare import trial_row
        from search.trials.finished_trial import ranked

        ranking = ranked(self._trials, self._spec.search.objective)
        return _plain(trial_row(ranking[0], self._spec)) if ranking else None

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        """Return a page for a notebook: ranking, findings, heat maps, weight images and links."""
        from lockstep.page import page
        from search.commands.compare import ranking_table
        from search.findings.sentences import note

        pictures = [self.figures / name for name in _PICTURES]
        return page(
            heading=self._spec.description or self.study,
            ranking=None if self._choice is None else ranking_table(self._spec, self._choice),
            lines=note(self._spec, self._trials, self._choice, self._finals),
            pictures=[path for path in pictures if path.is_file()],
            links=self._links,
            remark=f"The links work while the MLflow UI runs: lockstep ui {self._spec.argument}",
        )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with texts in the place of the members of enumerations."""
    return {name: str(value) if isinstance(value, Enum) else value for name, value in row.items()}


def found_by_launch(report: LaunchReport, settings: Settings) -> Found:
    """Return what a launch found."""
    from search.commands.launch_report import summary
    from search.tracking.links import BEST_VIEW, charts_url, run_url, table_url

    spec, told, address = report.spec, report.mlflow, settings.ui_address
    experiment, parent = str(told["experiment_id"]), str(told["parent_run_id"])
    side = {"the best two side by side": told["compare_url"]} if told["compare_url"] else {}
    return Found(
        study=spec.name,
        report=report.as_json(),
        text=summary(report, spec, settings).strip(),
        figures=settings.figures(spec.name),
        _spec=spec,
        _trials=report.trials,
        _choice=report.choice,
        _finals=report.finals,
        _links={
            "the best trials": charts_url(address, experiment, BEST_VIEW),
            **side,
            "all trials": table_url(address, experiment),
            "the study's run": run_url(address, experiment, parent),
        },
    )


def found_by_compare(comparison: Comparison, settings: Settings) -> Found:
    """Return what a comparison found."""
    from search.commands.compare import summary

    links = {
        "the best trials": comparison.charts_url,
        "the best two side by side": comparison.compare_url,
    }
    return Found(
        study=comparison.spec.name,
        report=comparison.as_json(),
        text=summary(comparison).strip("\n"),
        figures=settings.figures(comparison.spec.name),
        _spec=comparison.spec,
        _trials=comparison.trials,
        _choice=comparison.choice,
        _finals=comparison.finals,
        _links={name: url for name, url in links.items() if url is not None},
    )


@dataclass(frozen=True, slots=True, repr=False)
class FoundTogether:
    """Several studies, compared by their best trials.

    report: what `--json` prints. text: what the command line prints.
    """

    report: dict[str, Any]
    text: str

    def __repr__(self) -> str:
        return self.text
