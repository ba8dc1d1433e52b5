"""The result of a retrain, as JSON, as metrics, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from core.statistics.classification import Scores
from core.statistics.proportions import McNemar
from search.commands.score_tables import (
    class_metrics,
    class_rows,
    classes_json,
    explanation,
    score_metrics,
    score_remarks,
    score_rows,
    scores_json,
)
from search.console import table
from search.model.fitting import Fit
from search.model.lbfgs import LbfgsFit
from search.model.registry import RegisteredModel
from search.spec.feature_files import NamedFeatures
from search.wording import counted

SHOWN = 5  # the most earlier uses of the test set that are told


@dataclass(slots=True)
class RetrainReport:
    """The result of a retrain.

    features, baseline_features: the sets of features of the chosen fit and of the baseline; None if
        the study has only one.
    scores: those of the chosen fit on the test set.
    baseline, baseline_scores, comparison: None if the study names no baseline.
    seed_errors: the numbers of test errors of the same configuration with other seeds.
    earlier_uses: the uses of the test set before this one, as they are stored.
    model, run_url: filled in once they exist.
    failure: what went wrong after the test set was used, None if nothing did.
    """

    study: str
    features: NamedFeatures | None
    baseline_features: NamedFeatures | None
    trial: int
    rule: str
    epochs: int
    chosen: Fit
    scores: Scores
    baseline: Fit | LbfgsFit | None
    baseline_scores: Scores | None
    comparison: McNemar | None
    seed_errors: list[int]
    earlier_uses: list[dict[str, Any]]
    model: RegisteredModel | None = None
    run_url: str = ""
    failure: Exception | None = None

    @property
    def test_label(self) -> str:
        """How often the test set was used before, in words."""
        uses = len(self.earlier_uses)
        times = "once" if uses == 1 else f"{uses:,} times"
        return f"test set already used {times}" if uses else "first use of the test set"

    @property
    def seed_accuracies(self) -> list[float]:
        """The test accuracies of the same configuration with other seeds."""
        size = len(self.chosen.correct)
        return [1 - errors / size for errors in self.seed_errors]

    def use(self, time: str, run_id: str) -> dict[str, Any]:
        """Return what is stored of this use of the test set; time: of the use."""
        return {
            "time": time,
            "trial": self.trial,
            "run_id": run_id,
            "rule": self.rule,
            "errors": self.chosen.errors,
            "size": len(self.chosen.correct),
            "errors_of_other_seeds": self.seed_errors,
        }

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        chosen, baseline, its_scores = self.chosen, self.baseline, self.baseline_scores
        comparison, model = self.comparison, self.model
        return {
            "study": self.study,
            **_features_json(self.features),
            "trial": self.trial,
            "rule": self.rule,
            "epochs": self.epochs,
            "test_accuracy": chosen.test_accuracy,
            "test_errors": chosen.errors,
            "test_size": len(chosen.correct),
            "interval": list(chosen.interval),
            "train_accuracy": chosen.train_accuracy,
            "seconds": chosen.seconds,
            "scores": scores_json(self.scores),
            "classes": classes_json(self.scores),
            "test_errors_of_other_seeds": self.seed_errors,
            "baseline": baseline
            and {
                "kind": baseline.kind,
                **_features_json(self.baseline_features),
                "test_accuracy": baseline.test_accuracy,
                "test_errors": baseline.errors,
                "seconds": baseline.seconds,
                "scores": its_scores and scores_json(its_scores),
            },
            "mcnemar": comparison
            and {
                "only_trial_correct": comparison.only_first_correct,
                "only_baseline_correct": comparison.only_second_correct,
                "mid_p": comparison.p_value,
            },
            "earlier_test_evaluations": len(self.earlier_uses),
            "recorded_test_evaluations": self.earlier_uses,
            "model_uri": model and model.uri,
            "champion": model and model.is_champion,
            "champion_reason": model and model.reason,
        }

    def metrics(self) -> dict[str, float]:
        """Return the metrics that are logged to MLflow, besides the curves."""
        chosen, baseline = self.chosen, self.baseline
        found = {
            "test_accuracy": chosen.test_accuracy,
            "test_accuracy_low": chosen.interval.low,
            "test_accuracy_high": chosen.interval.high,
            "test_errors": float(chosen.errors),
            "fit_seconds": chosen.seconds,
            **score_metrics("test_", self.scores),
            **class_metrics(self.scores),
        }
        if self.seed_errors:
            found |= {
                "seeds_test_accuracy_mean": mean(self.seed_accuracies),
                "seeds_test_accuracy_low": min(self.seed_accuracies),
                "seeds_test_accuracy_high": max(self.seed_accuracies),
            }
        if baseline is not None and self.comparison is not None:
            found |= {
                "baseline_test_accuracy": baseline.test_accuracy,
                "baseline_test_accuracy_low": baseline.interval.low,
                "baseline_test_accuracy_high": baseline.interval.high,
                "baseline_test_errors": float(baseline.errors),
                "baseline_fit_seconds": baseline.seconds,
                "mcnemar_mid_p": self.comparison.p_value,
            }
        if self.baseline_scores is not None:
            found |= score_metrics("baseline_test_", self.baseline_scores)
        return found

    def findings(self) -> list[str]:
        """Return the sentences that follow the table of accuracies."""
        lines = []
        if self.baseline is not None and self.baseline_features != self.features:
            lines.append(
                f"the baseline has other features, {self.baseline_features}, and the trial has "
                f"{self.features}: part of the difference is due to these"
            )
        if isinstance(self.baseline, LbfgsFit):
            lines.append(self.baseline.described(self.chosen.seconds))
            lines += self.baseline.remarks()
        if self.comparison is not None:
            c = self.comparison
            lines.append(
                f"against the baseline: only the trial is right on {c.only_first_correct} "
                f"examples, only the baseline on {c.only_second_correct}; McNemar mid-p = "
                f"{c.p_value:.2g}"
            )
        if self.seed_errors:
            accuracies = self.seed_accuracies
            spread = f" ± {100 * stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
            least, most = min(self.seed_errors), max(self.seed_errors)
            errors = f"{least} to {most}" if least < most else f"{least}"
            lines.append(
                f"{counted(len(accuracies), 'other seed')}: {100 * mean(accuracies):.2f}{spread} % "
                f"on the same test set ({errors} errors); they show the effect of the order of the "
                "examples, nothing is chosen by them"
            )
        if self.earlier_uses:
            lines.append(
                f"{self.test_label}: a test score that you choose trials by becomes too optimistic"
            )
        return lines

    def markdown(self) -> str:
        """Return the description of the retrain run, in Markdown."""
        low, high = self.chosen.interval
        lines = [
            f"**Trial #{self.trial}** ({self.rule}) of {self.study}, trained on "
            + ("" if self.features is None else f"the features {self.features} of ")
            + f"train + validation for {counted(self.epochs, 'epoch')}: "
            f"**{100 * self.chosen.test_accuracy:.2f} %** on the test set, "
            f"{self.chosen.errors:,} errors of {len(self.chosen.correct):,}, 95 % interval "
            f"{100 * low:.2f}–{100 * high:.2f} % (Wilson). {self.test_label.capitalize()}.",
            "",
            *(f"- {line}" for line in (*self.findings(), *score_remarks(self.models))),
            "",
            *score_rows(self.models).markdown(),
            "",
            *class_rows(self.label, self.scores).markdown(),
            "",
            explanation(),
        ]
        return "\n".join(lines)

    @property
    def models(self) -> dict[str, Scores]:
        """The scores of the trial, and of the baseline if there is one, by what they are called."""
        its = {} if self.baseline_scores is None else {"baseline": self.baseline_scores}
        return {self.label: self.scores, **its}

    @property
    def label(self) -> str:
        """What the trial is called in tables."""
        return f"trial #{self.trial}"


def uses_in_words(uses: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is stored of earlier uses of the test set as lines of text, the last ones."""
    if not uses:
        return []
    many = f", {len(uses):,} times; the last {SHOWN}" if len(uses) > SHOWN else ""
    return [f"The test set was used before{many}:", *map(_use, uses[-SHOWN:])]


def _use(use: dict[str, Any]) -> str:
    """Return a stored use of the test set as a line of text."""
    # Earlier versions stored less.
    of = f" of {use['size']:,}" if "size" in use else ""
    errors = f": {use['errors']:,} errors{of}" if "errors" in use else ""
    seeds = ", ".join(map(str, use.get("errors_of_other_seeds", [])))
    with_seeds = f", with other seeds {seeds}" if seeds else ""
    return f"  {use['time']}  trial #{use['trial']}{errors}{with_seeds}"


def summary(report: RetrainReport) -> str:
    """Return the text for people: the scores on the test set, and where the model is."""
    rows = [_row(report.label, report.chosen, report.features)]
    if report.baseline is not None:
        rows.append(_row("baseline", report.baseline, report.baseline_features))
    headings = [
        "", *["features"] * bool(report.features), "learning rate", "weight decay", "batch",
        "epochs", "train", "test", "95 %", "errors",
    ]  # fmt: skip
    scores, classes = score_rows(report.models), class_rows(report.label, report.scores)
    lines = ["", table(headings, rows), "", *report.findings()]
    lines += ["", table(*scores), "", table(*classes), "", *score_remarks(report.models)]
    lines += [""] * bool(lines[-1])
    if report.model is not None:
        lines += [f"model    {report.model.uri}: {report.model.reason}"]
    return "\n".join([*lines, f"run      {report.run_url}"])


def _features_json(features: NamedFeatures | None) -> dict[str, str]:
    """Return what `--json` prints of a set of features; nothing if there is only one."""
    return {} if features is None else {"features": features.name, "features_file": features.file}


def _row(name: str, fit: Fit | LbfgsFit, features: NamedFeatures | None) -> list[str]:
    """Return the row of a fit in the table for people; features: those that it is fitted to."""
    low, high = fit.interval
    return [
        name,
        *([] if features is None else [features.name]),
        *(["–"] * 4 if isinstance(fit, LbfgsFit) else _configuration(fit)),
        f"{100 * fit.train_accuracy:.2f} %",
        f"{100 * fit.test_accuracy:.2f} %",
        f"{100 * low:.2f}–{100 * high:.2f} %",
        f"{fit.errors:,} of {len(fit.correct):,}",
    ]


def _configuration(fit: Fit) -> list[str]:
    """Return the cells of a fit's learning rate, weight decay, batch size and epochs."""
    tried = fit.result.hyperparameters
    return [
        f"{tried.learning_rate:.3g}",
        f"{tried.weight_decay:.3g}",
        f"{tried.batch_size}",
        f"{fit.result.stopped_epoch}",
    ]
