"""The table of the sets of features, such as layers, that `compare` prints."""

from __future__ import annotations

from search.console import table
from search.trials.layers import Layer, Layers

LEAST = 0.0001  # Smaller p values are not told apart.
SHOWN = 30  # the most sets in the table: the best ones


def layer_table(layers: Layers) -> list[str]:
    """Return the best trial of each set of features as a table for people, in the order of the
    study file, and a line that explains it.

    Of more than `SHOWN` sets it has the best.
    """
    ranked = sorted(layers.found, key=lambda layer: (layer is not layers.best, layer.behind))
    shown = sorted(ranked[:SHOWN], key=lambda layer: layer.place)
    headings = ["", "features", "trials", "best", "val loss", "accuracy", "p", "chosen", ""]
    left = len(layers.found) - len(shown)
    return [
        table(headings, [_row(layer, layers) for layer in shown]),
        "(p: Holm-corrected p value of the difference between the best trials of two sets of "
        "features; chosen: how often",
        " a bootstrap sample of the validation examples has its best trial here)",
        *([f"(and {left:,} more, which are worse)"] if left else []),
    ]


def _row(layer: Layer, layers: Layers) -> list[str]:
    """Return the row of a set of features."""
    marks = [
        word
        for word, marked in (
            ("best", layer is layers.best),
            ("tied", layer.is_tied and layer is not layers.best),
            ("first as accurate", layer is layers.first and layer is not layers.best),
        )
        if marked
    ]
    return [
        f"{layer.place}",
        layer.name,
        f"{layer.trials:,}",
        f"#{layer.trial}",
        f"{layer.val_loss:.5f} ± {layer.loss_error:.5f}",
        f"{100 * layer.val_accuracy:.2f} ± {100 * layer.accuracy_error:.2f} %",
        "" if layer is layers.best else _p(layer.p_value),
        f"{100 * layer.chosen:.0f} %",
        ", ".join(marks),
    ]


def _p(value: float) -> str:
    """Return a p value as text; a very small one only as that."""
    return f"{value:.2g}" if value >= LEAST else f"< {LEAST:g}"
