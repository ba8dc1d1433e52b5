"""What a user sees in a real browser at the links that `lockstep ui` prints."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import numpy as np
import numpy.typing as npt
import pytest
from blank_figures import PAINTED
from browser import close_of_assistant, installed, new_page, profile, reach, served
from command import lockstep
from mlflow.entities import Run
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect
from small_study import small_study, write_study
from stored import client, runs

from search.figures.templates import class_image
from search.tracking.names import IMAGES_TAG
from search.tracking.view_format import COMPARED

pytestmark = [
    pytest.mark.skipif(installed() is None, reason="no Chromium or Chrome is installed"),
    pytest.mark.xdist_group("browser"),  # one study, one server, one browser for all
]

CLASSES = ("3", "6")
NARROW = (1280, 800)
IN_FULL = ("best trials", "run table")  # looked at in a larger window, too
AXES = ["log10_learning_rate", "log10_weight_decay", "batch_size", "val_loss"]
STUDY = small_study(
    description="Threes against sixes, with rates that diverge",
    penalty="squared",
    epochs=9,
    learning_rate=[0.01, 0.1, 1.0, 1e6],
    weight_decay=[1e-4, 1e-2],
    batch_size=[16, 64],
    pruner="halving",
    min_epochs=3,
    reduction=2,
)


@dataclass(frozen=True)
class Shown:
    """A launched study, served, and a browser to look at it."""

    home: Path
    links: dict[str, str]
    browser: BrowserContext
    best: list[Run]  # completed trials, best first
    kept: dict[str, Page] = field(default_factory=dict)  # with which the next test goes on

    def open(
        self, link: str, width: int = 1920, height: int = 1080, *, assistant: bool = False
    ) -> Page:
        page = new_page(self.browser, width, height, assistant=assistant)
        page.goto(self.links[link])
        return page

    def in_full(self, link: str, width: int, height: int) -> Page:
        """A page without the Assistant, in a window in which all of it is in view."""
        page = self.kept.pop(link, None) or self.open(link, width, height)
        page.set_viewport_size({"width": width, "height": height})
        page.bring_to_front()
        return page

    def first_visit(self, link: str) -> Page:
        """A page beside MLflow's Assistant, in the narrowest window that it may be."""
        page = self.kept.pop(link, None) or self.open(link, *NARROW, assistant=True)
        page.bring_to_front()  # in the background it would paint once a second
        return page


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("shown")
    path = write_study(folder, STUDY)
    finished = lockstep("launch", str(path), "--workers=1", cwd=folder, variables=PAINTED)
    assert finished.code == 0, finished.err
    home = folder / "runs"
    completed = [run for run in runs(home, "small", "trial") if run.info.status == "FINISHED"]
    best = sorted(completed, key=lambda run: run.data.metrics["val_loss"])
    assert 2 <= len(best) <= 10
    with (
        served("study.toml", cwd=folder) as links,
        profile() as browser,
    ):
        yield Shown(home, links, browser, best)


def artifact(shown: Shown, run: Run, path: str) -> bytes:
    place = client(shown.home).get_run(run.info.run_id).info.artifact_uri.removeprefix("file://")
    return Path(place, path).read_bytes()


def pixels(content: bytes) -> npt.NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.int16)


def painted(image: Locator) -> npt.NDArray[np.int16]:
    """What the browser made of an image, read back from a canvas: (height, width, 3)."""
    address = image.evaluate(
        """async image => {
            await image.decode();
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext('2d').drawImage(image, 0, 0);
            return canvas.toDataURL('image/png');
        }"""
    )
    return pixels(base64.b64decode(address.partition(",")[2]))


def difference(a: npt.NDArray[np.int16], b: npt.NDArray[np.int16]) -> float:
    """Mean over pixels and channels, of 255."""
    return float(np.abs(a - b).mean())


def expected_image(shown: Shown, run: Run, c: int) -> npt.NDArray[np.int16]:
    """Drawn again from the weights that the run keeps, in the size that MLflow shows."""
    with np.load(io.BytesIO(artifact(shown, run, "result.npz"))) as result:
        weights = result["W"]
    drawn = Image.fromarray(class_image(weights[:, c], (8, 8), float(run.data.tags[IMAGES_TAG])))
    return np.asarray(drawn.resize((256, 256))).astype(np.int16)


def test_the_best_two_side_by_side(shown: Shown) -> None:
    page = shown.first_visit("side by side")
    expect(close_of_assistant(page)).to_be_visible()
    compared = shown.best[:COMPARED]
    images = page.locator("img.rc-image-img")
    expect(images).to_have_count(len(CLASSES) * COMPARED)
    headings = page.get_by_role("columnheader")
    expect(headings).to_contain_text(["images", *(run.info.run_name for run in compared)])
    for heading, run in zip(headings.all()[1:], compared, strict=True):
        name = heading.get_by_text(run.info.run_name).bounding_box()
        cell = heading.bounding_box()
        assert name is not None
        assert cell is not None
        assert name["x"] + name["width"] <= cell["x"] + cell["width"], "the name is cut short"
    for c in range(len(CLASSES)):
        pair = images.all()[c * COMPARED : (c + 1) * COMPARED]
        for image, run in zip(pair, compared, strict=True):
            assert difference(painted(image), expected_image(shown, run, c)) < 4
        reach(pair[0])
        for image in pair:
            expect(image).to_be_in_viewport(ratio=0.99)  # both at once
    shown.kept["side by side"] = page


def test_the_study_page_tells_what_was_found(shown: Shown) -> None:
    page = shown.first_visit("the study")
    best = shown.best[0]
    number = best.data.tags["lockstep.trial"]
    expect(page.get_by_text("Threes against sixes, with rates that diverge")).to_be_visible()
    expect(page.get_by_text(f"#{number}: learning rate")).to_be_visible()
    page.get_by_text("Show more").click()
    expect(page.get_by_text("statistically indistinguishable from the best")).to_be_visible()
    expect(page.get_by_text("trials diverged")).to_be_visible()
    expect(page.get_by_text("trials were stopped early")).to_be_visible()
    expect(page.get_by_text("small train").first).to_be_visible()  # the data
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="The figures").click()
    figures = opened.value
    figures.set_default_timeout(60_000)
    figures.get_by_text("heat_maps.png").first.click()
    figure = figures.locator('img[src^="blob:"]').first
    expect(figure).to_be_visible()
    (study,) = runs(shown.home, "small", "study")
    assert difference(painted(figure), pixels(artifact(shown, study, "figures/heat_maps.png"))) < 1
    figures.close()
    shown.kept["the study"] = page


def content(shown: Shown, page: Page, link: str) -> Iterator[Locator]:
    """What a page is for, part by part; a part may be looked for once the last one was seen."""
    best = shown.best[0]
    if link in ("best trials", "side by side"):
        yield page.get_by_text("Weight templates")
        images = page.locator("img.rc-image-img")
        runs_shown = COMPARED if link == "side by side" else len(shown.best)
        expect(images).to_have_count(len(CLASSES) * runs_shown)
        yield from images.all()
        yield page.get_by_text("Validation curves")
    elif link == "coordinates":
        yield page.get_by_text("All completed trials")
        labels = page.locator(".parcoords .label")
        expect(labels).to_have_text(AXES)  # none cut short
        expect(labels.first).to_be_in_viewport(ratio=0.99)
        yield page.get_by_text("Curves of the ten best")
        expect(page.locator(".js-plotly-plot")).to_have_count(2)
        yield from page.locator(".js-plotly-plot").all()
    elif link == "run table":
        yield page.locator('[row-index="0"]').get_by_text(best.info.run_name)
        yield page.get_by_role("columnheader", name="val_loss").first
        page.locator('[row-index="0"]').first.hover()
        page.mouse.wheel(1000, 0)
        yield page.get_by_role("columnheader", name="batch_size").first
    else:
        yield (more := page.get_by_text(re.compile("Show (more|less)")))
        if more.text_content() == "Show more":
            more.click()
        yield page.get_by_text(f"#{best.data.tags['lockstep.trial']}: learning rate")
        yield page.get_by_role("link", name="The figures")


@pytest.mark.parametrize(
    "link", ["best trials", "coordinates", "side by side", "run table", "the study"]
)
def test_every_link_is_usable_in_a_small_window(shown: Shown, link: str) -> None:
    """Beside MLflow's Assistant, which opens by itself, and once a person has closed it."""
    sizes = [NARROW, (1440, 900)]
    page = shown.first_visit(link)
    close = close_of_assistant(page)
    expect(close).to_be_visible()
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        for part in content(shown, page, link):
            reach(part)
    close.click()
    expect(close).to_be_hidden()
    for width, height in reversed(sizes):
        page.set_viewport_size({"width": width, "height": height})
        for part in content(shown, page, link):
            reach(part)
    if link in IN_FULL:
        shown.kept[link] = page
    else:
        page.close()


def test_the_study_link_shows_the_best_runs_weights(shown: Shown) -> None:
    page = shown.in_full("best trials", 1920, 2400)
    images = page.locator("img.rc-image-img")
    expect(images).to_have_count(len(CLASSES) * len(shown.best))
    headings = page.get_by_role("columnheader")
    expect(headings).to_have_count(1 + len(shown.best))
    for heading, run in zip(headings.all()[1:], shown.best, strict=True):
        expect(heading).to_contain_text(run.info.run_name)
        for name in ("learning_rate", "weight_decay", "batch_size"):
            expect(heading).to_contain_text(f"{name}={run.data.params[name]}")
    wanted = {
        (run.info.run_id, c): expected_image(shown, run, c)
        for run in shown.best
        for c in range(len(CLASSES))
    }
    for place, image in enumerate(images.all()):
        c, column = divmod(place, len(shown.best))
        run = shown.best[column]
        source = image.get_attribute("src") or ""
        query = parse_qs(urlsplit(source).query)
        assert query["run_uuid"] == [run.info.run_id], "columns are the best runs, best first"
        (path,) = query["path"]
        assert f"weights~{CLASSES[c]}" in path, "rows are the classes"
        served_bytes = page.request.get(urljoin(page.url, source)).body()
        assert served_bytes == artifact(shown, run, path)
        found = painted(image)
        assert found.shape == (256, 256, 3)
        assert np.ptp(found) > 50, "an image, not a blank"
        assert difference(found, pixels(served_bytes)) < 2
        assert difference(found, wanted[run.info.run_id, c]) < 4
        assert image.evaluate("image => image.getBoundingClientRect().width") > 100
    shown.kept["best trials"] = page


def test_the_study_link_shows_coordinates_and_curves(shown: Shown) -> None:
    page = shown.in_full("best trials", 1920, 2400)
    labels = page.locator(".parcoords .label")
    expect(labels).to_have_text(AXES)
    page.wait_for_function(
        """() => [...document.querySelectorAll('.parcoords canvas')].some(canvas =>
            canvas.width && canvas.getContext('2d').getImageData(
                0, 0, canvas.width, canvas.height).data.some(value => value))"""
    )
    plots = page.locator(".js-plotly-plot")
    expect(plots).to_have_count(2)
    page.wait_for_function(
        """n => [...document.querySelectorAll('.js-plotly-plot')].every(plot =>
            new Set(plot.data.map(trace => trace.uuid)).size === n)""",
        arg=len(shown.best),
    )
    drawn = page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot =>
            plot.data.map(trace => [trace.metricKey, trace.uuid, Array.from(trace.y)]))"""
    )
    assert {metric for metric, _, _ in drawn} == {"val_loss", "val_accuracy"}
    store = client(shown.home)
    for metric, run_id, values in drawn:
        history = store.get_metric_history(run_id.split("-")[0], metric)
        assert values == pytest.approx([point.value for point in history]), run_id
    page.close()


def test_the_table_tells_pruned_and_diverged_trials(shown: Shown) -> None:
    trials = runs(shown.home, "small", "trial")
    page = shown.in_full("run table", 1280, 1600)
    page.locator('[row-index="0"]').first.hover()
    page.mouse.wheel(-2000, 0)  # to the first column, wherever a person has been
    for column in ("val_loss", "val_accuracy", "learning_rate", "weight_decay", "batch_size"):
        expect(page.get_by_role("columnheader", name=column).first).to_be_in_viewport(ratio=0.95)
    for place, run in enumerate(shown.best):  # rows stand in the document in no order
        row = page.locator(f'[row-index="{place}"]')
        expect(row.get_by_text(run.info.run_name, exact=True)).to_be_visible()
    for status, word in (("KILLED", "pruned"), ("FAILED", "diverged")):
        run = next(run for run in trials if run.info.status == status)
        number = run.data.tags["lockstep.trial"]
        expect(page.get_by_text(f"#{number} {word}, epoch").first).to_be_visible()
    page.close()
