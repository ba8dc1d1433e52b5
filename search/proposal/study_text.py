"""A study file as text: what was found in the data as comments, and ranges that fit it."""

from __future__ import annotations

import json
import os
import re
import textwrap
from pathlib import Path

from core.datasets.checks import listed, shown_name
from core.datasets.scaling import Scale
from search.home import unfit
from search.proposal.facts import FEWEST_OF_A_CLASS, Facts
from search.proposal.ranges import MOMENTUM, VALIDATION_FRACTION, Axis, Ranges
from search.wording import counted

_WIDTH = 100
_COLUMN = 31  # where the comments on keys begin
_MOST_IGNORED = 20  # columns that are explained
_FEW_CLASSES = 12  # that are listed one by one
# Examples × features × classes; with more, scikit-learn's 51 fits take a quarter of an hour.
_LARGEST_BASELINE = 2e9
_RARE = 0.1  # the share of the rarest of two classes that is called unbalanced
_PIXELS = "pixels from 0 to 1, which stay as they are"
_LENGTH = 64  # of a study's name


def study_name(file: str) -> str:
    """Return the name of a file, without its suffix, as a study may be called."""
    name = re.sub(r"[^a-z0-9._-]+", "-", Path(file).stem.lower()).lstrip("._-")
    if unfit(name.rstrip(".-")) is not None:
        name = f"study-{name}"
    return name[:_LENGTH].rstrip(".-") or "study"


def study_text(name: str, facts: Facts, ranges: Ranges, folder: Path) -> str:
    """Return the text of a study file that is to lie in a folder."""
    tables = [
        _comments(facts),
        _head(name, facts),
        _data(facts, folder),
        _model(facts, ranges),
        _space(facts, ranges),
        ["[search]", _line("sampler", '"grid"', "every combination; README names the others")]
        + [_line("objective", '"val_loss"', 'or "val_accuracy", "val_balanced_accuracy"')],
        _baseline(facts),
    ]
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n"


def found(facts: Facts) -> list[tuple[str, str]]:
    """Return what is in the data, as pairs of a heading and a sentence."""
    own = " and ".join(facts.own_parts)
    train, validation, test = facts.sizes
    parts = (
        f"{train:,} in {facts.folds} folds, {test:,} for the test"
        if facts.folds
        else f"{train:,} to train, {validation:,} to validate, {test:,} for the test"
    )
    lines = [
        ("rows", f"{facts.examples:,}: {parts}" + (f" ({own}: its own)" if own else "")),
        ("features", _features(facts)),
        ("classes", _classes(facts)),
    ]
    given = facts.given
    if given.label:
        lines.append(("labels", given.label))
    if given.source.split:
        lines.append(("parts", f"as {given.source.split!r} says"))
    if given.texts:
        shown = [f"{shown_name(column)} ({n})" for column, n in given.texts.items()]
        lines.append(("texts", f"one feature for each text of {listed(shown)}"))
    ignored = [f"column {shown_name(column)}, which {why}" for column, why in given.ignored.items()]
    lines += [("ignored", sentence) for sentence in ignored[:_MOST_IGNORED]]
    if (more := len(ignored) - _MOST_IGNORED) > 0:
        lines.append(("ignored", f"{counted(more, 'column')} more"))
    if facts.left_out:
        rare = listed([f"{label} ({n})" for label, n in facts.left_out.items()])
        lines.append(("left out", f"classes of fewer than {FEWEST_OF_A_CLASS} examples: {rare}"))
    return lines + [("remark", remark) for remark in facts.remarks]


def _features(facts: Facts) -> str:
    if facts.image_shape is not None:
        height, width, *colour = facts.image_shape
        kind = f"images of {height} × {width} pixels" + (" in colour" if colour else "")
        return kind + (f": {_PIXELS}" if facts.scale is Scale.NONE else "")
    names = "" if facts.feature_names is None else f": {listed(facts.feature_names, 8)}"
    return f"{facts.features:,} numbers, no images{names}"


def _classes(facts: Facts) -> str:
    sizes = facts.classes
    least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if len(sizes) <= _FEW_CLASSES:
        text = ", ".join(f"{shown_name(label)} ({n:,})" for label, n in sizes.items())
    elif sizes[least] == sizes[most]:
        text = f"{sizes[most]:,} examples of each"
    else:
        text = f"{sizes[least]:,} examples of {shown_name(least)} to {sizes[most]:,} of "
        text += shown_name(most)
    share = 100 * sizes[most] / facts.examples
    return f"{len(sizes):,}: {text}; always guessing {shown_name(most)} is right on {share:.1f} %"


def _comments(facts: Facts) -> list[str]:
    file = shown_name(facts.given.source.path.name)
    lines = [
        f"# Written by `lockstep init` for {file}; change what you like before the first launch."
    ]
    for heading, sentence in found(facts):
        lines += textwrap.wrap(
            sentence,
            _WIDTH,
            initial_indent=f"# {heading:9}",
            subsequent_indent="#" + 10 * " ",
        )
    return lines


def _head(name: str, facts: Facts) -> list[str]:
    kind = "features" if facts.image_shape is None else "pixels"
    text = f"{len(facts.classes):,} classes, {facts.features:,} {kind}: every combination"
    note = "names the experiment, its folder in runs/ and the registered model"
    return [_line("name", _quoted(name), note), f"description = {_quoted(text)}"]


def _data(facts: Facts, folder: Path) -> list[str]:
    source = facts.given.source
    is_file = bool(source.path.suffix)
    name = _relative(source.name, folder) if is_file else source.name
    seen = is_file and not Path(name).is_absolute()
    lines = ["[data]", _line("source", _quoted(name), "as seen from this file" * seen)]
    if source.label:
        lines.append(_line("label", _quoted(source.label), "the column of the labels"))
    if source.labels:
        lines.append(_line("labels", _quoted(_relative(source.labels, folder)), "one a row"))
    if source.split:
        split = _relative(source.split, folder) if source.labels else source.split
        lines.append(_line("split", _quoted(split), "train, validation or test"))
    if source.categorical:
        lines.append(_line("categorical", _quoted(source.categorical), "columns of texts"))
    if source.ignore:
        lines.append(f"ignore = [{', '.join(map(_quoted, source.ignore))}]")
    if facts.left_out:
        lines.append(f"classes = [{', '.join(map(_quoted, facts.classes))}]")
    if facts.folds:
        note = "few rows: each configuration is judged on all of them"
        lines.append(_line("folds", str(facts.folds), note))
    elif "validation" not in facts.own_parts:
        note = "of the training examples, held out to choose by"
        lines.append(_line("validation_fraction", str(VALIDATION_FRACTION), note))
    return [*lines, _line("seed", "0", "of the division")]


def _model(facts: Facts, ranges: Ranges) -> list[str]:
    sizes = sorted(facts.classes.values())
    lines = [
        "[model]",
        _line("penalty", '"squared"', "λ/2 ‖W‖₂², scikit-learn's, which leaves biases alone"),
        _line("momentum", str(MOMENTUM), "reaches further in the same number of steps"),
        _line("schedule", '"cosine"', "rates fall to zero by the last epoch"),
        _line("epochs", str(ranges.epochs), f"over {facts.rows:,} training examples each"),
        _line("seed", "0", "of the order of the examples"),
    ]
    if sizes[0] < _RARE * sizes[-1]:
        note = "uncomment it if rare classes matter as much"
        lines.append(_line('# class_weight = "balanced"', "", note))
    return lines


def _space(facts: Facts, ranges: Ranges) -> list[str]:
    decay = ranges.weight_decay
    strongest, weakest = (1 / (value * facts.rows) for value in (decay.high, decay.low))
    return [
        "[space]",
        f"# The largest curvature of the loss on this data is {facts.curvature:.3g}: rates up to "
        f"{ranges.stable:.2g} cannot diverge.",
        "# The curvature is smaller at most weights, so the range ends at twice that rate.",
        f"learning_rate = {_axis(ranges.learning_rate)}",
        f"# In scikit-learn's terms, from C = {strongest:.2g} to C = {weakest:.2g} (C = 1/(λ N)).",
        f"weight_decay = {_axis(decay)}",
        f"batch_size = [{ranges.batch_size}]",
    ]


def _baseline(facts: Facts) -> list[str]:
    train, validation, _ = facts.sizes
    weights = (train + validation) * facts.features * len(facts.classes)
    if weights <= _LARGEST_BASELINE:
        note = "what retrain compares with: scikit-learn's way"
        return ["[baseline]", _line("solver", '"lbfgs"', note)]
    return [
        "# [baseline]                 # scikit-learn's way would take hours on so much data",
        '# solver = "lbfgs"           # uncomment both, and retrain compares with it',
    ]


def _axis(axis: Axis) -> str:
    return f"{{ low = {axis.low:g}, high = {axis.high:g}, log = true, points = {axis.points} }}"


def _line(key: str, value: str, note: str) -> str:
    """Return a line of a key, its value and what it means."""
    text = f"{key} = {value}" if value else key
    return f"{text:{_COLUMN - 1}} # {note}" if note else text


def _relative(file: str, folder: Path) -> str:
    """Return the path of a file as it is seen from a folder, unless it was given whole."""
    path = Path(file).expanduser()
    inside = path.resolve().is_relative_to(folder.resolve())
    if path.is_absolute() and not inside:
        return str(path)
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def summary_of(ranges: Ranges, facts: Facts) -> str:
    """Return in words what the study will do."""
    folds = f" on {facts.folds} folds" if facts.folds else ""
    return f"{counted(ranges.trials, 'configuration')}{folds}, {ranges.epochs} epochs each"
