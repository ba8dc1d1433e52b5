"""The browser that is installed, on pages of a UI that runs here."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from command import HUNG, start
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BUDGET = 180_000  # milliseconds that a page may take to show what is waited for
_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
# MLflow opens its Assistant beside the first page that a new profile sees of a local server.
_ASSISTANT_SEEN = "localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = 'true';"
# Once in each page, whatever it shows later: nothing is known of a former visit.
_FIRST_VISIT = "if (!window.name) { window.name = 'visited'; localStorage.clear(); }"


def installed() -> str | None:
    """The path of a Chromium or Chrome."""
    return next(filter(None, map(shutil.which, NAMES)), None)


expect.set_options(timeout=BUDGET)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A fresh profile, gone at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed(), args=_FLAGS.split())
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def profile() -> Iterator[BrowserContext]:
    """A fresh profile on the disk, where a browser keeps what it compiled for the next page."""
    with tempfile.TemporaryDirectory(prefix="lockstep-") as folder, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=installed(), args=_FLAGS.split()
        )
        try:
            yield context
        finally:
            context.close()


def new_page(
    browser: Browser | BrowserContext,
    width: int = 1920,
    height: int = 1080,
    *,
    assistant: bool = False,
) -> Page:
    """A page that knows of no former visit; in one context, what was loaded is not loaded again.

    assistant: MLflow may open its Assistant beside it, as it does for a person who never closed it.
    """
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.set_default_timeout(BUDGET)
    page.add_init_script(_FIRST_VISIT + ("" if assistant else _ASSISTANT_SEEN))
    return page


def close_of_assistant(page: Page) -> Locator:
    """The button that closes MLflow's Assistant."""
    return page.locator("[data-assistant-ui]").get_by_role("button", name="Close", exact=True)


def reach(target: Locator) -> None:
    """Scroll to it as a person does: it is then in view, but for a pixel or two at an edge, and
    nothing covers it."""
    target.scroll_into_view_if_needed()
    expect(target).to_be_in_viewport(ratio=0.95)
    target.click(trial=True)  # without the click itself


@contextlib.contextmanager
def served(study: str, *options: str, cwd: Path) -> Iterator[dict[str, str]]:
    """The links that `lockstep ui` prints, by their names, while it serves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = start(
        "ui", study, "--no-browser", "--port", port, *options, cwd=cwd, warm_server=True
    )
    assert process.stdout is not None
    links = {}
    try:
        for line in process.stdout:
            if found := re.match(r"(\w+(?: \w+)*)  +(http\S+)", line):
                links[found[1]] = found[2]
            if "Ctrl-C" in line:
                break
        else:
            raise AssertionError(f"it did not serve: {process.communicate()}")
        yield links
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 0, (out, err)
