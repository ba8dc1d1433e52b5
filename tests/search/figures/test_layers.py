"""The figure of sets of features, and heat maps that say which set a panel shows."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from core.statistics.proportions import Interval
from core.trainer.result import Hyperparameters, Status
from search.figures import style
from search.figures.heat_maps import heat_maps
from search.figures.heat_panels import MAX_PANELS
from search.figures.layers import layers_figure
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial
from search.trials.layers import Layer, Layers


def decoded(png: bytes) -> npt.NDArray[np.uint8]:
    """The pixels of a PNG in colour, (height, width, 3)."""
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def area(picture: npt.NDArray[np.uint8], colour: str) -> int:
    """How many pixels have this colour."""
    return int((np.abs(picture.astype(int) - _rgb(colour)).max(axis=2) <= 4).sum())


def made(
    count: int, objective: Objective = Objective.LOSS, tied: int = 1, missing: int = 0
) -> Layers:
    """The layers get better up to the one at three quarters; ``tied`` before it tie with it."""
    best = (3 * count) // 4
    found = []
    for k in range(missing, count):
        badness = 0.05 + 0.9 * (abs(k - best) / count) ** 1.5
        near = 0 <= best - k <= tied
        found.append(
            Layer(
                name=f"layer-{k}", place=k + 1, trials=3, trial=k,
                badness=badness, interval=Interval(0.8 * badness, 1.2 * badness),
                error_rate=badness / 2, error_interval=Interval(0.4 * badness, 0.6 * badness),
                val_loss=badness, loss_error=0.1 * badness,
                val_accuracy=1 - badness / 2, accuracy_error=0.05 * badness,
                behind=badness - 0.05, behind_error=0.01, p_value=1.0 if near else 0.0,
                accuracy_p_value=1.0 if near else 0.0, is_tied=near, is_as_accurate=near,
                chosen=0.0,
            )
        )  # fmt: skip
    names = [f"layer-{k}" for k in range(missing)]
    return Layers(objective, 500, count, found, names, found[best - missing])


def names_of(layers: Layers) -> list[str]:
    return [f"layer-{k}" for k in range(layers.count)]


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("count", [2, 3, 18, 60, 300])
def test_a_figure_of_few_or_many_layers_can_be_read(count: int, objective: Objective) -> None:
    layers = made(count, objective)
    picture = decoded(layers_figure(layers, names_of(layers)))
    assert 500 < picture.shape[1] < 1600
    assert 350 < picture.shape[0] < 1000
    assert area(picture, style.VERMILION) > 100, "the star"
    assert area(picture, style.BLUE) > 50, "what ties with it"


def test_only_what_ties_is_filled() -> None:
    one, five = (
        area(decoded(layers_figure(made(18, tied=tied), names_of(made(18)))), style.BLUE)
        for tied in (1, 5)
    )
    assert five > 2 * one


def test_layers_that_are_missing_leave_their_places_empty() -> None:
    whole, part = made(18), made(18, missing=6)
    assert part.first.place == whole.first.place
    pictures = [decoded(layers_figure(each, names_of(whole))) for each in (whole, part)]
    assert pictures[0].shape == pictures[1].shape
    left = slice(80, pictures[0].shape[1] // 3)
    drawn = [(picture[150:-120, left] < 160).any(axis=2).sum() for picture in pictures]
    assert drawn[1] < drawn[0] / 2


def test_odd_names_and_scores() -> None:
    layers = made(3)
    names = ["$x_1$", "a" * 60, "Schicht 3 — größte"]
    assert decoded(layers_figure(layers, names)).shape[1] < 1600
    perfect = made(2, Objective.ACCURACY, tied=0)
    assert decoded(layers_figure(perfect, names_of(perfect))).ndim == 3
    assert layers_figure(layers, names) == layers_figure(layers, names)


def trials(layers: int, sizes: int = 1) -> list[FinishedTrial]:
    """A grid of 3 x 2 for each layer and batch size; the last of all is the best."""
    tried = [
        Hyperparameters(10.0**-rate, decay, 8 * (size + 1), features=f"layer-{layer}")
        for layer in range(layers)
        for size in range(sizes)
        for rate in range(3)
        for decay in (0.0, 0.1)
    ]
    return [
        FinishedTrial(
            k, each, Status.COMPLETED, 1, 0.5, 1 / (k + 1), 1 - 1 / (k + 2), 3, 1, 3, f"{k}"
        )
        for k, each in enumerate(tried)
    ]


def width(layers: int, sizes: int = 1) -> int:
    names = [f"layer-{k}" for k in range(layers)]
    return int(decoded(heat_maps(trials(layers, sizes), features=names)).shape[1])


def test_few_layers_have_a_panel_each_and_many_an_overview() -> None:
    assert width(3) > width(2) > width(1)
    assert width(60) == width(MAX_PANELS + 1) == width(2), "the best layer's panel, and one of all"
    assert width(7, 2) == width(3), "an overview and the two batch sizes of the best"
    assert decoded(heat_maps(trials(1, 20), features=["layer-0"])).shape[1] < 1000
    both = decoded(heat_maps(trials(2, 20), features=["layer-0", "layer-1"]))
    assert both.shape[1] == width(2), "too many batch sizes share a panel"


def test_the_panels_have_the_order_of_the_study_file() -> None:
    names = ["layer-1", "layer-0"]
    turned = decoded(heat_maps(trials(2), features=names))
    usual = decoded(heat_maps(trials(2), features=names[::-1]))
    star = [
        np.argwhere(np.abs(p.astype(int) - _rgb(style.VERMILION)).max(axis=2) <= 4)
        for p in (turned, usual)
    ]
    first, last = (at[at[:, 0] > 40][:, 1].mean() for at in star)
    assert first < last - 100, "the best layer stands left if it comes first"


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))
