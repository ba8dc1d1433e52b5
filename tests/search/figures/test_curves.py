"""Study figures: what the pixels say of cells, stars, failures and scales."""

from __future__ import annotations

import functools
import io
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from math import inf, nan

import numpy as np
import numpy.typing as npt
import pytest
from command import HUNG
from matplotlib.figure import Figure
from PIL import Image

from core.trainer.result import Curves, Hyperparameters, Status
from search.figures import confusion, heat_maps, style
from search.figures.confusion import confusion_matrix, most_confused
from search.figures.curves import MAX_BATCHES, _draw_batches, learning_curves, retrain_curves
from search.figures.history import optimisation_history
from search.spec.objective import Objective
from search.trials.finished_trial import FinishedTrial

Pixels = npt.NDArray[np.uint8]
YELLOW, PURPLE = (253, 231, 36), (68, 1, 84)  # the ends of the colour map: best and worst


def decoded(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def area(picture: Pixels, colour: str | tuple[int, int, int], tolerance: int = 4) -> int:
    """How many pixels have this colour."""
    wanted = tuple(bytes.fromhex(colour[1:])) if isinstance(colour, str) else colour
    return int((np.abs(picture.astype(int) - wanted).max(axis=2) <= tolerance).sum())


def stars(picture: Pixels) -> tuple[bool, bool]:
    """Whether there is one among the cells, and whether the legend above them explains it."""
    return area(picture[40:], style.VERMILION) > 30, area(picture[:30], style.VERMILION) > 15


def on_grid(
    rates: int, decays: int, sizes: int = 1, *, failed: frozenset[int] = frozenset()
) -> list[FinishedTrial]:
    """The best is the last, of the largest learning rate, weight decay and batch size."""
    shape = (sizes, decays, rates)
    return [
        FinishedTrial(
            number=n,
            hyperparameters=Hyperparameters(
                10.0 ** (k - 3), 10.0 ** (j - 5) if j else 0.0, 100 * (i + 1)
            ),
            status=Status.DIVERGED if n in failed else Status.COMPLETED,
            train_loss=0.5,
            train_accuracy=0.5,
            val_loss=nan if n in failed else 0.8 / (1 + n),
            val_accuracy=0.0 if n in failed else 1 - 0.4 / (1 + n),
            best_epoch=1,
            best_val_loss=0.5,
            stopped_epoch=1,
            run_id="run",
            val_balanced_accuracy=0.0 if n in failed else 1 - 0.5 / (1 + n),
        )
        for n, (i, j, k) in enumerate(np.ndindex(shape))
    ]


@functools.cache
def nine() -> Pixels:
    """The heat maps of three rates and three weight decays, which several tests look at."""
    return decoded(heat_maps.heat_maps(on_grid(3, 3)))


def tried(point: FinishedTrial, **changes: float) -> FinishedTrial:
    return replace(point, hyperparameters=replace(point.hyperparameters, **changes))


def scattered(count: int) -> list[FinishedTrial]:
    rng = np.random.default_rng(0)
    return [
        tried(
            point,
            learning_rate=float(10 ** rng.uniform(-4, 1)),
            weight_decay=float(10 ** rng.uniform(-6, 0)),
        )
        for point in on_grid(count, 1)
    ]


@pytest.mark.parametrize(
    ("rates", "decays", "sizes", "objective"),
    [
        (1, 1, 1, Objective.LOSS),
        (1, 1, 1, Objective.ACCURACY),
        (5, 1, 2, Objective.BALANCED_ACCURACY),
        (1, 4, 1, Objective.LOSS),
        (4, 3, 3, Objective.ACCURACY),
        (4, 3, 3, Objective.BALANCED_ACCURACY),
        (3, 3, 7, Objective.LOSS),
    ],
)
def test_heat_maps_of_a_grid_have_cells_and_one_star(
    rates: int, decays: int, sizes: int, objective: Objective
) -> None:
    picture = decoded(heat_maps.heat_maps(on_grid(rates, decays, sizes), objective))
    assert 300 < picture.shape[1] < 1700
    assert 150 < picture.shape[0] < 1700
    assert stars(picture) == (True, True)
    # Nothing diverged: no more of that grey than at the edges of letters.
    assert area(picture, style.GREY) < 0.005 * picture[:, :, 0].size


def test_the_best_cell_is_bright_and_the_worst_dark_on_every_objective() -> None:
    for objective in Objective:
        picture = decoded(heat_maps.heat_maps(on_grid(2, 1), objective))
        bar = int(0.8 * picture.shape[1])  # cells lie left of it, the colour bar right
        bright = np.argwhere(np.abs(picture[:, :bar].astype(int) - YELLOW).max(axis=2) < 8)
        dark = np.argwhere(np.abs(picture[:, :bar].astype(int) - PURPLE).max(axis=2) < 8)
        assert min(len(bright), len(dark)) > 5000
        assert bright[:, 1].mean() > dark[:, 1].mean(), "the best has the larger learning rate"


def test_the_star_lies_in_the_best_cell() -> None:
    other = decoded(
        heat_maps.heat_maps([replace(p, val_loss=1 / p.val_loss) for p in on_grid(3, 3)])
    )
    last, first = (_star_centre(picture) for picture in (nine(), other))
    assert last[1] > first[1] + 100, "from the smallest learning rate to the largest"
    assert last[0] < first[0] - 100, "from the smallest weight decay up to the largest"


def _star_centre(picture: Pixels) -> tuple[float, float]:
    wanted = tuple(bytes.fromhex(style.VERMILION[1:]))
    at = np.argwhere(np.abs(picture.astype(int) - wanted).max(axis=2) <= 4)
    at = at[at[:, 0] > 40]  # below the legend
    return float(at[:, 0].mean()), float(at[:, 1].mean())


def test_diverged_cells_are_grey_and_leave_the_scale_alone() -> None:
    failed = decoded(heat_maps.heat_maps(on_grid(4, 4, failed=frozenset({0, 5}))))
    more = decoded(heat_maps.heat_maps(on_grid(4, 4, failed=frozenset({0, 1, 5, 6}))))
    assert area(failed, style.GREY) > 1000
    assert 1.7 < area(more, style.GREY) / area(failed, style.GREY) < 2.3
    infinite = on_grid(4, 4, failed=frozenset({0, 5}))
    infinite = [replace(p, val_loss=inf) if p.number in (0, 5) else p for p in infinite]
    assert np.array_equal(decoded(heat_maps.heat_maps(infinite)), failed)


def test_heat_maps_of_nothing_but_failures_have_no_star_and_no_colours() -> None:
    picture = decoded(heat_maps.heat_maps(on_grid(3, 3, failed=frozenset(range(9)))))
    assert stars(picture) == (False, False)
    assert area(picture, YELLOW) == area(picture, PURPLE) == 0
    assert area(picture, style.GREY) > 10_000


def test_a_trial_stopped_early_is_marked_and_is_never_the_best() -> None:
    points = on_grid(3, 3)
    points[-1] = replace(points[-1], status=Status.PRUNED)
    row, column = _star_centre(decoded(heat_maps.heat_maps(points)))
    whole_row, whole_column = _star_centre(nine())
    assert column < whole_column - 50
    assert abs(row - whole_row) < 30
    everything = [replace(point, status=Status.PRUNED) for point in points]
    assert stars(decoded(heat_maps.heat_maps(everything))) == (False, False)


def test_points_off_the_grid_are_dots() -> None:
    picture = decoded(heat_maps.heat_maps(scattered(40)))
    painted = (picture.max(axis=2).astype(int) - picture.min(axis=2)) > 60
    left = painted[60:, : int(0.75 * painted.shape[1])]
    assert 0.002 < left.mean() < 0.1, "dots on white rather than cells"
    assert stars(picture) == (True, True)


def test_points_off_the_grid_may_have_no_weight_decay_or_all_diverge() -> None:
    points = scattered(20)
    zero = [tried(point, weight_decay=0.0) if point.number % 3 else point for point in points]
    assert stars(decoded(heat_maps.heat_maps(zero))) == (True, True)
    failed = [replace(point, status=Status.DIVERGED, val_loss=nan) for point in points]
    assert stars(decoded(heat_maps.heat_maps(failed))) == (False, False)


def test_many_batch_sizes_share_a_panel() -> None:
    points = [tried(point, batch_size=10 + point.number) for point in scattered(30)]
    picture = decoded(heat_maps.heat_maps(points))
    assert picture.shape[1] < 800
    assert stars(picture) == (True, True)


def test_the_largest_heat_maps_stay_readable_in_size() -> None:
    picture = decoded(heat_maps.heat_maps(on_grid(30, 30, 10)))
    assert picture.shape[1] < 1700
    assert picture.shape[0] < 900


def test_one_absurd_loss_does_not_take_the_colours() -> None:
    """The rest keeps its contrast: as many distinct colours as without the absurd one."""
    points = on_grid(5, 5)
    absurd = [replace(points[0], val_loss=1e30), *points[1:]]
    colours = [
        len({*map(bytes, decoded(heat_maps.heat_maps(each))[80:, :480].reshape(-1, 3))})
        for each in (points, absurd)
    ]
    assert colours[1] > 0.8 * colours[0]


def test_perfect_accuracy_everywhere() -> None:
    points = [replace(point, val_accuracy=1.0) for point in on_grid(3, 3)]
    assert stars(decoded(heat_maps.heat_maps(points, Objective.ACCURACY))) == (True, True)
    assert decoded(optimisation_history(points, Objective.ACCURACY)).shape[1] == 880


def test_history_shows_the_best_so_far_falling_for_loss_and_rising_for_accuracy() -> None:
    directions: dict[Objective, bool] = {Objective.LOSS: True, Objective.ACCURACY: False}
    for objective, falls in directions.items():
        picture = decoded(optimisation_history(on_grid(6, 4), objective))
        assert picture.shape == (418, 880, 3)
        wanted = tuple(bytes.fromhex(style.VERMILION[1:]))
        at = np.argwhere(np.abs(picture[:, :650].astype(int) - wanted).max(axis=2) <= 4)
        start = at[at[:, 1] < at[:, 1].min() + 20, 0].mean()
        end = at[at[:, 1] > at[:, 1].max() - 20, 0].mean()
        assert (end > start + 100) == falls
        assert (end < start - 100) != falls


def test_history_is_of_trial_numbers_not_of_the_order_given() -> None:
    points = on_grid(4, 4)
    assert optimisation_history(points) == optimisation_history(points[::-1])


def test_history_keeps_failures_and_absurd_losses_at_the_edge() -> None:
    points = on_grid(6, 4)
    calm = decoded(optimisation_history(points))
    for odd in (
        replace(points[3], val_loss=nan, status=Status.DIVERGED),
        replace(points[3], val_loss=1e30),
    ):
        picture = decoded(optimisation_history([*points[:3], odd, *points[4:]]))
        plot = slice(0, 40), slice(100, 600)
        assert area(picture[plot], style.MUTED, 30) > area(calm[plot], style.MUTED, 30)
        line = area(picture, style.VERMILION), area(calm, style.VERMILION)
        assert abs(line[0] - line[1]) < 0.2 * line[1], "the curve keeps its size"


def test_history_of_one_trial() -> None:
    assert area(decoded(optimisation_history(on_grid(1, 1))), style.BLUE) > 20


def test_history_of_one_trial_that_failed() -> None:
    failed = on_grid(1, 1, failed=frozenset({0}))
    assert area(decoded(optimisation_history(failed)), style.BLUE) <= 20


def curves(epochs: int, level: float = 1.0) -> Curves:
    loss = level / np.arange(1, epochs + 1)
    return Curves(0.9 * loss, 1 - 0.1 * loss, loss, 1 - 0.2 * loss)


def test_learning_curves_emphasise_the_best() -> None:
    alone = decoded(learning_curves({"#1": curves(20)}, best="#1"))
    ten = {f"#{n}": curves(20, 1 + n) for n in range(10)}
    among = decoded(learning_curves(ten, best="#0"))
    assert alone.shape == among.shape
    assert area(alone, style.VERMILION) > 500
    assert area(among, style.VERMILION) > 500
    lost = decoded(learning_curves(ten, best="#99"))
    assert area(lost, style.VERMILION) == 0, "the next is not the best"


def test_learning_curves_draw_no_more_than_can_be_told_apart() -> None:
    ten = {f"#{n}": curves(5, 1 + n) for n in range(10)}
    assert learning_curves(ten | {"#99": curves(5, 99)}, best="#0") == learning_curves(
        ten, best="#0"
    )


def test_learning_curves_of_one_epoch_and_with_gaps() -> None:
    assert area(decoded(learning_curves({"a": curves(1)}, best="a")), style.VERMILION) > 50
    broken = curves(9)
    broken.val_loss[4] = inf
    broken.train_loss[:] = nan
    assert area(decoded(learning_curves({"$a_b": broken}, best="$a_b")), style.VERMILION) > 300


def test_many_batches_become_a_band_of_nine_in_ten() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    values[::1000] = np.nan
    axes = Figure().subplots()
    low, high = _draw_batches(axes, values).reshape(2, -1)
    assert len(low) < MAX_BATCHES
    assert np.median(low) == pytest.approx(-1.645, abs=0.05)
    assert np.median(high) == pytest.approx(1.645, abs=0.05)
    few = values[:MAX_BATCHES]
    assert _draw_batches(axes, few) is few


def test_retrain_curves_mark_the_test_once_at_the_end() -> None:
    batches = np.linspace(1, 0.1, 60)
    epochs = batches.reshape(6, 10).mean(axis=1)
    iterations = np.stack([batches, 1 - batches / 2])
    curves = Curves(epochs, 1 - epochs / 2, epochs, epochs)
    plain = decoded(retrain_curves(iterations, curves))
    assert area(plain, style.VERMILION) == 0
    assert area(plain, style.BLUE) > 500
    tested = decoded(retrain_curves(iterations, curves, test_accuracy=0.9))
    wanted = tuple(bytes.fromhex(style.VERMILION[1:]))
    at = np.argwhere(np.abs(tested.astype(int) - wanted).max(axis=2) <= 4)
    assert at[:, 1].max() < 550, "only in the accuracy's panel, which is the left one"
    assert at[:, 1].max() > 480, "at its right end"


def labels(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes that are counted so often."""
    true, predicted = np.indices(counts.shape)
    return np.repeat(true, counts.ravel()), np.repeat(predicted, counts.ravel())


def test_confusion_matrix_is_dark_where_counts_are() -> None:
    picture = decoded(confusion_matrix(*labels(np.array([[90, 10], [0, 50]])), ("3", "6")))
    rows, columns = np.nonzero((picture[:, :, 2] > 80) & (picture[:, :, 0] < 30))
    matrix = columns < 0.75 * picture.shape[1]
    slope = np.corrcoef(rows[matrix], columns[matrix])[0, 1]
    assert slope > 0.5, "the diagonal runs from the top left to the bottom right"


def diagonal(classes: int, count: int) -> Pixels:
    """The matrix of classes that are never confused; the first of them has no examples."""
    counts = np.eye(classes, dtype=np.intp) * count
    counts[0] = 0
    names = ["$class_" + str(c) for c in range(classes)]
    return decoded(confusion_matrix(*labels(counts), names))


@pytest.mark.parametrize("classes", [1, 3, 10])
def test_confusion_matrices_of_many_sizes(classes: int) -> None:
    assert 250 < diagonal(classes, 9).shape[0] < 1200


@pytest.mark.parametrize(("classes", "told_apart"), [(20, True), (21, False)])
def test_counts_are_written_while_they_can_be_read(classes: int, told_apart: bool) -> None:
    """At equal rates, hence equal colours, counts tell two matrices apart up to 20 classes."""
    few, many = diagonal(classes, 1), diagonal(classes, 888)
    assert 250 < few.shape[0] < 1200
    assert few.shape == many.shape
    below_title = slice(len(few) // 2, None)
    assert np.array_equal(few[below_title], many[below_title]) != told_apart


def test_of_many_classes_the_most_confused_are_shown() -> None:
    counts = 50 * np.eye(100, dtype=np.intp)
    counts[90, 3] = counts[3, 90] = 5
    counts[17, 40] = 8
    counts[8, 9] = 7
    counts[0] = 0  # a class without examples
    assert most_confused(*labels(counts), 100, 4).tolist() == [3, 17, 40, 90], "5 + 5 and 8 errors"
    assert most_confused(*labels(counts), 100, 6).tolist() == [3, 8, 9, 17, 40, 90]
    assert most_confused(*labels(counts), 100, 100).tolist() == list(range(100))
    picture = confusion_matrix(*labels(counts), ["$class_" + str(c) for c in range(100)])
    assert 250 < decoded(picture).shape[0] < 1200


def test_classes_of_few_pairs_do_not_push_out_those_of_others() -> None:
    """Every pair of six classes, and then one of two others."""
    y, predicted = np.indices((6, 6)).reshape(2, -1).repeat(3, axis=1)
    y, predicted = np.append(y, 50), np.append(predicted, 70)
    assert most_confused(y, predicted, 100, 8).tolist() == [*range(6), 50, 70]


def test_the_matrix_of_very_many_classes_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of them are shown, since drawing takes long where all memory is traced."""
    monkeypatch.setattr(confusion, "MAX_ANNOTATED", 3)
    C = 6_000
    y = np.arange(3 * C) % C
    tracemalloc.start()
    confusion_matrix(y, (y + y % 3) % C, [f"c{c}" for c in range(C)])
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 64 << 20


def test_names_in_any_script_are_no_warning() -> None:
    confusion_matrix(*labels(np.eye(2, dtype=np.intp)), ("日本", "ю"))


def test_what_cannot_be_drawn_is_refused() -> None:
    for draw in (heat_maps.heat_maps, optimisation_history):
        with pytest.raises(ValueError, match="at least one trial"):
            draw([])
    with pytest.raises(ValueError, match="at least one learning curve"):
        learning_curves({}, best="")
    for iterations, epochs in ((4, 3), (0, 4), (4, 0)):
        with pytest.raises(ValueError, match="not of one training"):
            retrain_curves(np.ones((2, iterations)), Curves(*np.ones((4, epochs))))
    with pytest.raises(ValueError, match="do not fit 2 classes"):
        confusion_matrix(*labels(np.eye(3, dtype=np.intp)), ("a", "b"))


def test_the_same_points_give_the_same_bytes() -> None:
    points = on_grid(3, 3, 2, failed=frozenset({4}))
    assert heat_maps.heat_maps(points) == heat_maps.heat_maps(points)


def test_matplotlib_is_imported_late_and_pyplot_never() -> None:
    code = (
        "import sys; from search.figures.confusion import confusion_matrix; import numpy as np;"
        "early = 'matplotlib' in sys.modules;"
        "confusion_matrix(np.arange(2), np.arange(2), 'ab');"
        "raise SystemExit(early or 'matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=HUNG, check=False).returncode == 0


def test_heat_maps_have_a_panel_for_each_method_that_is_searched() -> None:
    """Trials that differ in momentum alone would otherwise lie on each other."""
    plain = on_grid(3, 2)
    fast = [tried(replace(point, number=point.number + 6), momentum=0.9) for point in plain]
    again = [replace(point, number=point.number + 6) for point in plain]
    one, two, three = (
        decoded(heat_maps.heat_maps(points)) for points in (plain, plain + fast, plain + again)
    )
    assert two.shape[1] > one.shape[1] == three.shape[1]
