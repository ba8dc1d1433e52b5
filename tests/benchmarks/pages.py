"""Benchmark 6: how long the UI's pages take to show a large study, in a real browser.

From opening the link to everything that it is for being drawn; a server and a browser that have
been used once before, one page at a time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import table

from search.tracking.view_format import COMPARED

TESTS = Path(__file__).resolve().parents[1]
CLASSES = 2
SHOWN = 10  # runs in the image grid


def _images(count: int) -> str:
    return f"""() => {{
        const images = [...document.querySelectorAll('img.rc-image-img')];
        return images.length === {count} && images.every(image => image.naturalWidth);
    }}"""


# What a page is for, drawn.
CONTENT: dict[str, str] = {
    "best trials": _images(CLASSES * SHOWN),
    "coordinates": """() => document.querySelector('.parcoords')
        && document.querySelectorAll('.js-plotly-plot').length >= 2""",
    "side by side": _images(CLASSES * COMPARED),
    "run table": "() => document.querySelectorAll('[row-index]').length >= 20",
    "the study": "() => document.body.innerText.includes('#') "
    "&& document.body.innerText.includes('learning rate')",
}


def _study(trials: int) -> str:
    return f"""
name = "pages"
[data]
source = "digits"
classes = [3, 6]
[model]
epochs = 20
[space]
learning_rate = {{ low = 1e-3, high = 1.0, log = true, points = {trials // 50} }}
weight_decay = {{ low = 1e-6, high = 1e-1, log = true, points = 10 }}
batch_size = [8, 16, 32, 64, 128]
"""


def pages(rounds: int, quick: bool, say: Callable[[str], None]) -> str:
    """The Markdown section."""
    sys.path.insert(0, str(TESTS))
    from browser import chromium, installed, new_page, served
    from command import lockstep

    heading = "## The UI's pages\n\n"
    if installed() is None:
        return f"{heading}Skipped: no Chromium or Chrome is installed."
    rows = []
    for trials in (100,) if quick else (600, 5_000):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            (home / "study.toml").write_text(_study(trials))
            finished = lockstep("launch", "study.toml", cwd=home, timeout=1200)
            if finished.code != 0:
                raise RuntimeError(finished.err)
            with served("study.toml", cwd=home) as links, chromium() as browser:
                seconds: dict[str, list[float]] = {link: [] for link in CONTENT}
                for number in range(rounds + 1):  # the first one warms up
                    for link, content in CONTENT.items():
                        page = new_page(browser)
                        started = time.perf_counter()
                        page.goto(links[link])
                        page.wait_for_function(content)
                        if number:
                            seconds[link].append(time.perf_counter() - started)
                        page.close()
        say(f"{trials} trials: {seconds}")
        medians = [f"{statistics.median(each):.1f}" for each in seconds.values()]
        rows.append([f"{trials:,}", *medians])
    return (
        f"{heading}Seconds from opening each of the links that `lockstep ui` prints to its content "
        f"(images, coordinates and curves, images, rows, description) in headless Chromium, "
        f"medians of {rounds}.\n\n" + table(["trials", *CONTENT], rows)
    )
