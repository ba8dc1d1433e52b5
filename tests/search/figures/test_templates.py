"""Weight images: colours mean signs and sizes, pictures hold every class, bytes are repeatable."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from command import HUNG
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from search.figures import colours, page, templates

NAMES = tuple(str(c) for c in range(100))


def decoded(png: bytes) -> templates.Pixels:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
        return np.asarray(picture)


def frames(picture: templates.Pixels) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) inside each panel's hairline, row by row: what is drawn is told
    apart from white paper by the hairline's grey alone."""
    line = np.all(picture == page.LINE, axis=2)
    found = []
    for top, left in np.argwhere(line[:-1, :-1] & line[1:, :-1] & line[:-1, 1:]):
        if (top and line[top - 1, left]) or (left and line[top, left - 1]):
            continue  # not an upper left corner
        right = left + int(np.argmin([*line[top, left:], False]))
        bottom = top + int(np.argmin([*line[top:, left], False]))
        if min(bottom - top, right - left) > 8:  # not a letter's grey edge
            found.append((int(top) + 1, int(left) + 1, bottom - 1, right - 1))
    return found


def panels(picture: templates.Pixels) -> list[templates.Pixels]:
    return [picture[t:b, left:r] for t, left, b, r in frames(picture)]


def test_red_is_positive_blue_negative_white_zero() -> None:
    red, blue, white = templates.template(np.array([1.0, -1.0, 0.0]), (1, 3), 1.0)[0].astype(int)
    assert red[0] > red[1] + 50
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert blue[2] > blue[1] + 30
    assert white.tolist() == [255, 255, 255]


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_the_larger_weight_is_the_darker_one_whatever_its_sign(a: float, b: float) -> None:
    small, large = sorted((abs(a), abs(b)))
    for sign in (1, -1):
        drawn = templates.template(sign * np.array([small, large]), (1, 2), 1.0)[0]
        light = drawn @ [0.2126, 0.7152, 0.0722]
        assert light[0] >= light[1]


def test_both_signs_are_equally_strong() -> None:
    """Luma of w and -w agree within a seventh of its range: neither sign dominates the eye."""
    column = np.linspace(0, 1, 101)
    luma = np.array([0.2126, 0.7152, 0.0722])
    positive = templates.template(column, (1, 101), 1.0) @ luma
    negative = templates.template(-column, (1, 101), 1.0) @ luma
    assert np.abs(positive - negative).max() < 255 / 7


def test_negated_weights_give_the_mirrored_colour() -> None:
    """-w is as many steps from white as w: the template of one is decoded to minus the other."""
    column = np.linspace(-1, 1, 257)
    forward = templates.template(column, (1, 257), 1.0)[0]
    assert len(np.unique(forward, axis=0)) == 257, "each step has a colour of its own"
    assert np.array_equal(templates.template(-column, (1, 257), 1.0)[0], forward[::-1])


def test_values_beyond_the_scale_are_clipped() -> None:
    drawn = templates.template(np.array([2.0, 7.0, -2.0, -1e300]), (1, 4), 2.0)[0]
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[2], drawn[3])


@pytest.mark.parametrize("scale", [0.0, 1.0, 5e-324, 1e308])
def test_zero_weights_are_white_at_any_scale(scale: float) -> None:
    assert (templates.template(np.zeros(4), (2, 2), scale) == 255).all()


def test_a_scale_of_zero_draws_white_rather_than_divides() -> None:
    assert (templates.template(np.array([3.0, -3.0]), (1, 2), 0.0) == 255).all()


def test_weights_that_are_not_finite_are_grey_and_do_not_set_the_scale() -> None:
    weights = np.array([[np.nan, 0.5], [np.inf, -0.25], [-np.inf, 0.0], [0.5, 0.0]])
    assert colours.largest(weights) == 0.5
    column = templates.template(weights[:, 0], (2, 2), 0.5).reshape(4, 3)
    assert (column[:3] == colours.GREY).all()
    assert column[3, 0] > column[3, 2]
    first, second = panels(decoded(templates.templates(weights, ("a", "b"), (2, 2))))
    assert (first[0, 0] == colours.GREY).all()
    assert np.array_equal(first[-1, -1], second[0, 0]), "0.5 is full colour in both panels"


def test_no_finite_weight_at_all() -> None:
    weights = np.full((4, 2), np.nan)
    assert colours.largest(weights) == 0
    for panel in panels(decoded(templates.templates(weights, ("a", "b"), (2, 2)))):
        assert (panel == colours.GREY).all()


@pytest.mark.parametrize(
    ("shape", "enlarged"),
    [
        ((28, 28), (112, 112)),
        ((8, 8), (112, 112)),
        ((32, 32), (128, 128)),
        ((28, 14), (112, 56)),
        ((224, 224), (224, 224)),
        ((1000, 500), (200, 100)),
    ],
)
def test_class_images_have_a_sensible_size(
    shape: tuple[int, int], enlarged: tuple[int, int]
) -> None:
    drawn = templates.class_image(np.ones(shape[0] * shape[1]), shape, 1.0)
    assert drawn.shape == (*enlarged, 3)
    assert drawn.dtype == np.uint8


def test_enlarging_keeps_every_pixel_as_a_square() -> None:
    column = np.linspace(-1, 1, 64)
    drawn = templates.class_image(column, (8, 8), 1.0)
    assert np.array_equal(drawn[::14, ::14], templates.template(column, (8, 8), 1.0))
    assert np.array_equal(drawn[13::14, 13::14], templates.template(column, (8, 8), 1.0))


@pytest.mark.parametrize(
    ("classes", "columns", "rows", "side"),
    [(2, 2, 1, 4), (3, 3, 1, 4), (10, 5, 2, 4), (11, 4, 3, 4), (100, 10, 10, 10)],
)
def test_templates_show_every_class_in_order(
    classes: int, columns: int, rows: int, side: int
) -> None:
    # Class c has its one weight at feature c, so a panel tells which class it shows.
    weights = np.eye(side * side, classes, dtype=np.float32)
    picture = decoded(templates.templates(weights, NAMES[:classes], (side, side)))
    places = frames(picture)
    assert len(places) == classes
    assert len({left for _, left, _, _ in places}) == columns
    assert len({top for top, _, _, _ in places}) == rows
    for c, panel in enumerate(panels(picture)):
        step = panel.shape[0] // side
        coloured = np.argwhere((panel[::step, ::step] != 255).any(axis=2))
        assert [tuple(at) for at in coloured.tolist()] == [divmod(c, side)]


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_each_panel_has_its_label_above(classes: int) -> None:
    weights = np.zeros((16, classes))
    named = decoded(templates.templates(weights, NAMES[:classes], (4, 4)))
    labels = [named[top - 14 : top - 1, left:right] for top, left, _, right in frames(named)]
    assert all((label < 100).any() for label in labels)
    assert len({label.tobytes() for label in labels}) == classes, "different names look different"


def test_one_scale_for_all_classes() -> None:
    weights = np.array([[1.0, 0.5]] * 4)
    full, half = panels(decoded(templates.templates(weights, ("a", "b"), (2, 2))))
    assert full[0, 0].astype(int).sum() < half[0, 0].astype(int).sum()
    (alone,) = panels(decoded(templates.templates(weights[:, 1:], ("b",), (2, 2))))
    assert np.array_equal(alone, full), "on a scale of its own, 0.5 has full colour"
    (shared,) = panels(decoded(templates.templates(weights[:, 1:], ("b",), (2, 2), scale=1.0)))
    assert np.array_equal(shared, half)


def test_the_same_weights_give_the_same_bytes() -> None:
    weights = np.random.default_rng(0).normal(size=(784, 2)).astype(np.float32)
    first = templates.templates(weights, ("3", "6"), (28, 28))
    assert first == templates.templates(weights.copy(), ("3", "6"), (28, 28))
    assert first != templates.templates(weights[:, ::-1], ("3", "6"), (28, 28))


@pytest.mark.parametrize(
    "name", ["", "日本", "a very long name of a class " * 9, "two\nlines", "é"]
)
def test_odd_class_names_change_neither_size_nor_layout(name: str) -> None:
    weights = np.zeros((16, 2))
    plain = decoded(templates.templates(weights, ("a", "b"), (4, 4)))
    odd = decoded(templates.templates(weights, (name, "b"), (4, 4)))
    assert odd.shape == plain.shape
    assert frames(odd) == frames(plain)
    top, left, _, right = frames(odd)[0]
    assert (odd[top - 14 : top - 1, left:right] < 100).any(), "a class is never without a label"


@pytest.mark.parametrize(
    ("weights", "names", "shape", "scale"),
    [
        (np.zeros((4, 2)), ("a",), (2, 2), None),
        (np.zeros(4), ("a",), (2, 2), None),
        (np.zeros((4, 0)), (), (2, 2), None),
        (np.zeros((0, 2)), ("a", "b"), (0, 2), None),
        (np.zeros((4, 2)), ("a", "b"), (2, 3), None),
        (np.zeros((4, 2)), ("a", "b"), (2, 2), -1.0),
        (np.zeros((4, 2)), ("a", "b"), (2, 2), np.nan),
    ],
)
def test_what_does_not_fit_is_refused(
    weights: templates.Reals,
    names: tuple[str, ...],
    shape: templates.ImageShape,
    scale: float | None,
) -> None:
    with pytest.raises(ValueError, match=r"weights|scale"):
        templates.templates(weights, names, shape, scale)


def test_contact_sheet_lays_trials_out_in_the_order_given_each_on_its_own_scale() -> None:
    # Trial k has one weight per class, at feature k; sizes differ a thousandfold.
    entries = []
    for k in range(6):
        weights = np.zeros((9, 2))
        weights[k] = (10.0 ** (k - 3), -(10.0 ** (k - 3)))
        entries.append((weights, f"{k}"))
    drawn = panels(decoded(templates.contact_sheet(entries, ("3", "6"), (3, 3))))
    assert len(drawn) == 12
    full = templates.template(np.array([1.0, -1.0]), (1, 2), 1.0)[0]
    step = drawn[0].shape[0] // 3
    for place, panel in enumerate(drawn):
        k, c = divmod(place, 2)
        cells = panel[::step, ::step].reshape(-1, 3)
        assert np.array_equal(cells[k], full[c])
        assert (np.delete(cells, k, axis=0) == 255).all()


@pytest.mark.parametrize("count", [1, 2, 7, 40])
@pytest.mark.parametrize("classes", [2, 10])
def test_contact_sheets_fit_the_page(count: int, classes: int) -> None:
    weights = np.ones((64, classes))
    sheet = decoded(
        templates.contact_sheet([(weights, "0.1234 and more")] * count, NAMES[:classes], (8, 8))
    )
    assert len(frames(sheet)) == count * classes
    assert 400 < sheet.shape[1] <= templates.SHEET + 40
    heading = sheet[: frames(sheet)[0][0] - 20]
    assert (heading < 100).any(), "a title stands above the first trial"


def test_contact_sheet_captions_differ() -> None:
    weights = np.zeros((16, 2))
    sheet = decoded(
        templates.contact_sheet([(weights, "0.5"), (weights, "0.1")], ("a", "b"), (4, 4))
    )
    first, _, second, _ = (sheet[t - 16 : t - 1, left:r] for t, left, _, r in frames(sheet))
    assert (first < 100).any()
    assert not np.array_equal(first, second)


def test_an_empty_contact_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one trial"):
        templates.contact_sheet([], ("a", "b"), (2, 2))


def test_weight_images_need_no_matplotlib() -> None:
    code = (
        "import sys; import numpy as np; from search.figures import templates;"
        "templates.templates(np.eye(4), 'abcd', (2, 2));"
        "raise SystemExit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=HUNG, check=False).returncode == 0
