"""Put into words which set of features is best, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from search.findings.against_best import LEVEL, name_of_tests
from search.trials.layers import Layers
from search.wording import counted, ordinal

SHOWN = 8  # the most names of sets of features that a line lists


def layer_sentences(layers: Layers) -> list[str]:
    """Return which set of features is best, how sure that is, and at what depth its accuracy is
    first reached, in lines of plain text."""
    best, first = layers.best, layers.first
    tied = [layer.name for layer in layers.tied]
    how = (
        f"{name_of_tests(layers.objective)} of the best trial of each on {layers.examples:,} "
        f"validation examples, Holm, {100 * LEVEL:g} %"
    )
    equal = "no other ties with it"
    if tied:
        equal = f"{counted(len(tied), 'other')} tie{'s' * (len(tied) == 1)} with it: {_some(tied)}"
    lines = [f"features {best.name} is the best of {layers.count:,}; {equal} ({how})"]
    accuracy, of = f"{100 * best.val_accuracy:.2f} %", f"of {layers.count:,}"
    if first is best:
        lines.append(
            f"depth    it is the {ordinal(best.place)} {of}, and none before it reaches its "
            f"accuracy of {accuracy} (McNemar's tests, Holm)"
        )
    else:
        its = f"{100 * first.val_accuracy:.2f} ± {100 * first.accuracy_error:.2f} %"
        lines.append(
            f"depth    an accuracy that is no worse than its {accuracy} is first reached by "
            f"{first.name}, the {ordinal(first.place)} {of} ({its}; McNemar's tests, Holm)"
        )
    if layers.missing:
        lines.append(
            f"note     features of which no trial could be compared: {_some(layers.missing)}"
        )
    return lines


def _some(names: Sequence[str]) -> str:
    """Return up to `SHOWN` names as a list, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
