"""Put into words which set of features is best, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from search.findings.against_best import LEVEL, name_of_tests
from search.trials.layers import Layer, Layers
from search.wording import counted, ordinal

SHOWN = 8  # the most names of sets of features that a line lists


def layer_sentences(layers: Layers) -> list[str]:
    """Return which set of features is best, how sure that is, and at what depth its accuracy is
    first reached, in lines of plain text."""
    best, first, tied = layers.best, layers.first, layers.tied
    how = (
        f"{name_of_tests(layers.objective)} of the best trial of each on {layers.examples:,} "
        f"validation examples, Holm, {100 * LEVEL:g} %"
    )
    equal = "no other ties with it"
    if tied:
        equal = f"{counted(len(tied), 'other')} tie{'s' * (len(tied) == 1)} with it: {_some(tied)}"
    lines = [f"features {best.name} is the best of {layers.count:,}; {equal} ({how})"]
    accuracy = f"{100 * best.val_accuracy:.2f} %"
    if first is best:
        lines.append(
            f"depth    it is the {ordinal(best.place)} of {layers.count:,}, and the first to reach "
            f"its accuracy of {accuracy}"
        )
    else:
        its = f"{100 * first.val_accuracy:.2f} ± {100 * first.accuracy_error:.2f} %"
        lines.append(
            f"depth    its accuracy of {accuracy} is first reached by {first.name}, the "
            f"{ordinal(first.place)} of {layers.count:,}: {its} is no worse by McNemar's tests"
        )
    if layers.missing:
        more = f" and {len(layers.missing) - SHOWN:,} more" if len(layers.missing) > SHOWN else ""
        lines.append(
            "note     features of which no trial could be compared: "
            f"{', '.join(layers.missing[:SHOWN])}{more}"
        )
    return lines


def _some(layers: Sequence[Layer]) -> str:
    """Return the names of up to `SHOWN` sets of features, and how many more there are."""
    more = f" and {len(layers) - SHOWN:,} more" if len(layers) > SHOWN else ""
    return ", ".join(layer.name for layer in layers[:SHOWN]) + more
