"""Divide trials among the panels of the heat maps: by set of features, batch size and method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from search.figures.style import cut
from search.spec.configuration import method_in_words
from search.spec.model_spec import SEARCHABLE
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial, ranked

MAX_PANELS = 12  # the most that can be read
LONGEST = 24  # characters of the name of a set of features in a title


class Panel(NamedTuple):
    """A panel: its title, and the trials that are drawn in it."""

    title: str
    points: Sequence[FinishedTrial]


def panels_of(
    points: Sequence[FinishedTrial], objective: Objective, features: Sequence[str]
) -> list[Panel]:
    """Return a panel for each set of features, batch size and method, up to `MAX_PANELS`.

    If they are more, these are the panels of the best trial's features after one of all trials, or
    the latter alone.
    """
    by_name: dict[str, list[FinishedTrial]] = {name: [] for name in features}
    for point in points:
        by_name.setdefault(point.hyperparameters.features, []).append(point)
    several = len(features) > 1
    panels = [
        Panel(f"{cut(name, LONGEST)},\n{title}" if several else title, group)
        for name, own in by_name.items()
        for title, group in _by_method(own)
    ]
    if len(panels) <= MAX_PANELS:
        return panels
    if not several:
        return [_all_sizes(points)]
    tried = len({point.hyperparameters.features for point in points})
    overview = Panel(f"best of {tried:,} sets of features", _best_at_each(points, objective))
    best = [each.hyperparameters.features for each in ranked(points, objective)[:1]]
    own = [
        Panel(f"{cut(name, LONGEST)},\n{title}", group)
        for name in best
        for title, group in _by_method(by_name[name])
    ]
    if len(own) >= MAX_PANELS:
        alone = _all_sizes(by_name[best[0]])
        own = [Panel(f"{cut(best[0], LONGEST)},\n{alone.title}", alone.points)]
    return [overview, *own]


def _all_sizes(points: Sequence[FinishedTrial]) -> Panel:
    """Return one panel of all these trials."""
    sizes = {point.hyperparameters.batch_size for point in points}
    return Panel(f"{len(sizes)} batch sizes", points)


def _best_at_each(points: Sequence[FinishedTrial], objective: Objective) -> list[FinishedTrial]:
    """Return the best trial of each learning rate and weight decay."""
    best: dict[tuple[float, float], FinishedTrial] = {}
    for point in [*ranked(points, objective), *points]:
        tried = point.hyperparameters
        best.setdefault((tried.learning_rate, tried.weight_decay), point)
    return list(best.values())


def _by_method(points: Sequence[FinishedTrial]) -> list[Panel]:
    """Return a panel for each batch size and method."""
    alike: dict[Any, list[FinishedTrial]] = defaultdict(list)
    for point in points:
        alike[point.hyperparameters.shared].append(point)
    words = {shared: method_in_words(group[0].hyperparameters) for shared, group in alike.items()}
    varied = [name for name in SEARCHABLE if len({each[name] for each in words.values()}) > 1]
    panels = []
    for shared, group in sorted(alike.items()):
        title = [f"batch size {shared[0]}", *(words[shared][name] for name in varied)]
        panels.append(Panel(",\n".join(title), group))
    return panels
