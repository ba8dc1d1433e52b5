"""The page of an export: all that a study found in one file, without scripts or links to others."""

from __future__ import annotations

import base64
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from importlib.metadata import version
from typing import Any

from search.commands.study_data import described, scaling_in_words
from search.commands.study_figures import study_figures
from search.figures.picture_choice import weight_pictures
from search.findings.evaluation import Evaluation
from search.findings.sentences import note
from search.spec.configuration import configuration
from search.spec.toml_writer import toml
from search.spec.understood import understood
from search.trials.finals import Finals
from search.trials.finished_trial import FinishedTrial

BEST = 10  # the most trials whose weights are shown one by one
ROWS = 2000  # the most trials in the page's table; the other formats have all

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; } figcaption { color: #555; }
.best { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; }
.best figure { margin: 0; } .best img { width: 100%; max-width: 22rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .15rem .6rem; text-align: right; white-space: nowrap; }
tr:nth-child(even) { background: #f6f6f6; } th { border-bottom: 1px solid #999; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; font-size: 13px; }
"""
# What the page may load: its own pictures and style, and nothing from anywhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Found:
    """What a study found.

    finals: the results of the finalists, None if there are none.
    test_uses: what is recorded of the uses of the test set.
    figures: the PNG files of the study's figures, by name. best: the captions and PNG files of the
        weights of the best trials. Both are empty until they are `drawn`.
    """

    evaluation: Evaluation
    finals: Finals | None
    test_uses: Sequence[Mapping[str, Any]]
    figures: Mapping[str, bytes] = field(default_factory=dict)
    best: Sequence[tuple[str, bytes]] = ()

    def drawn(self) -> Found:
        """Return it with its pictures, while its results can be read."""
        figures = {each.path: each.content for each in study_figures(self.evaluation)}
        best = [
            (self._caption(rank, trial), self._weights(trial))
            for rank, trial in enumerate(self.evaluation.with_weights[:BEST], start=1)
        ]
        return replace(self, figures=figures, best=best)

    def _weights(self, trial: FinishedTrial) -> bytes:
        """Return a picture of a trial's weights, which it has."""
        result = self.evaluation.results.get(trial)
        assert result is not None
        assert result.weights is not None
        examples = self.evaluation.data.of(trial.hyperparameters.features).train
        return weight_pictures(examples).one(result.weights)

    def _caption(self, rank: int, trial: FinishedTrial) -> str:
        """Return a trial in words."""
        return (
            f"{rank}. #{trial.number}: "
            f"{configuration(trial.hyperparameters, self.evaluation.spec)}: loss "
            f"{trial.val_loss:.5f}, accuracy {100 * trial.val_accuracy:.2f} %"
        )


def page(found: Found, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the page as HTML. rows: one a trial, the best first, with the same keys."""
    evaluation, spec = found.evaluation, found.evaluation.spec
    told = note(spec, evaluation.finished, evaluation.choice, found.finals)
    title = escape(f"{spec.name}: {spec.description}" if spec.description else spec.name)
    parts = [
        f"<h1>{escape(spec.name)}</h1>",
        f"<p>{escape(spec.description)}</p>",
        _definitions(_about(evaluation)),
        "<h2>What was found</h2>",
        _definitions([_split(line) for line in told]),
        *_test_set(found.test_uses),
        *(["<h2>Weights of the best trials</h2>", _best(found.best)] if found.best else []),
        "<h2>Figures</h2>",
        *(_figure(name, content) for name, content in found.figures.items()),
        "<h2>Trials</h2>",
        _table(rows),
        "<h2>Study file</h2>",
        f"<pre>{escape(toml(understood(spec)))}</pre>",
        f"<p><small>Lockstep {version('lockstep')}, {escape(platform.platform())}, "
        f"{time.strftime('%Y-%m-%d %H:%M')}</small></p>",
    ]
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    )
    return "\n".join([head, *parts, "</body></html>\n"])


def _about(found: Evaluation) -> list[tuple[str, str]]:
    """Return what was searched on which data, as pairs of a label and a text."""
    spec, search = found.spec, found.spec.search
    how = search.sampler if search.pruner == "none" else f"{search.sampler} and {search.pruner}"
    return [
        ("data", described(spec, found.data)),
        ("scaling", scaling_in_words(spec, found.data)),
        (
            "search",
            f"{len(found.finished):,} trials ({how}) of {spec.model.epochs:,} epochs, chosen by "
            f"{search.objective.in_words}",
        ),
    ]


def _split(line: str) -> tuple[str, str]:
    """Return the label and the text of a line of `note`."""
    label, _, text = line.partition(" ")
    return label, text.strip()


def _definitions(pairs: Sequence[tuple[str, str]]) -> str:
    """Return pairs of a label and a text as a list."""
    inner = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in pairs)
    return f"<dl>{inner}</dl>"


def _test_set(uses: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is recorded of the test set, as far as it was used."""
    if not uses:
        return ["<p>The test set was not used.</p>"]
    rows = [
        {key: use.get(key) for key in ("time", "trial", "rule", "errors", "size")} for use in uses
    ]
    return ["<h2>Uses of the test set</h2>", _table(rows)]


def _image(content: bytes, description: str) -> str:
    """Return a picture that is part of the page."""
    data = base64.b64encode(content).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(description)}">'


def _figure(name: str, content: bytes) -> str:
    """Return a figure with its name as the caption."""
    caption = name.removesuffix(".png").replace("_", " ").capitalize()
    return f"<figure>{_image(content, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def _best(best: Sequence[tuple[str, bytes]]) -> str:
    """Return the weights of the best trials side by side."""
    inner = "".join(
        f"<figure>{_image(content, f'Weights of trial {caption}')}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, content in best
    )
    return f'<div class="best">{inner}</div>'


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table, as many as a page bears; columns without a value are left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    shown = [name for name in names if any(row.get(name) is not None for row in rows)]
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in shown)
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(row.get(name))}</td>' for name in shown)}</tr>"
        for row in rows[:ROWS]
    )
    more = f"<p>The best {ROWS:,} of {len(rows):,}.</p>" if len(rows) > ROWS else ""
    return f'{more}<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(value: Any) -> str:
    """Return a value as a cell of a table shows it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))
