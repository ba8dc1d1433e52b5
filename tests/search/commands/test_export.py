"""What an export has: every trial, with its scores, and a page that a browser shows alone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest
from blank_figures import painted
from browser import chromium, installed
from small_study import SMALL_TRIALS, small_spec

from search.commands.export import export
from search.commands.launch import launch
from search.commands.launch_report import LaunchReport
from search.commands.retrain import retrain
from search.console import Console
from search.errors import LockstepError, NothingToShowError
from search.settings import Settings

# One rate diverges; the description is hostile.
DESCRIPTION = "<script>document.title = 'run'</script> & \"quoted\""
SPEC = small_spec(
    description=DESCRIPTION,
    penalty="squared",
    learning_rate=[0.01, 0.1, 1.0, 1e6],
    weight_decay=[1e-4, 1e-2, 1e-1],
)

pytestmark = pytest.mark.xdist_group("export")  # one study for all


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, LaunchReport]:
    settings = Settings(home=tmp_path_factory.mktemp("export") / "runs", workers=2)
    with painted():
        return settings, launch(SPEC, settings, Console())


def test_the_tables_have_every_trial(launched: tuple[Settings, LaunchReport]) -> None:
    settings, report = launched
    written = export(SPEC, settings, Console())
    assert [file.name for file in written.files] == ["small.html", "small.csv", "small.parquet"]
    by_number = {trial.number: trial for trial in report.trials}
    for file, read in ((written.files[1], pd.read_csv), (written.files[2], pd.read_parquet)):
        table = read(file)
        assert len(table) == len(by_number) == SMALL_TRIALS
        assert report.best is not None
        assert table["number"][0] == report.best.number, "the best is the first"
        completed = table[table["status"] == "completed"]
        assert list(completed["val_loss"]) == sorted(completed["val_loss"])
        assert list(completed["rank"]) == list(range(1, len(completed) + 1))
        for row in table.itertuples():
            trial = by_number[row.number]
            assert row.learning_rate == trial.hyperparameters.learning_rate
            assert row.batch_size == trial.hyperparameters.batch_size
            assert row.run_id == trial.run_id
            if row.status == "completed":
                assert row.val_loss == trial.val_loss
        diverged = table[table["status"] == "diverged"]
        assert len(diverged) > 0
        assert diverged["val_loss"].isna().all()
        assert diverged["rank"].isna().all()


def test_again_it_is_written_anew_in_the_home_alone(
    launched: tuple[Settings, LaunchReport], tmp_path: Path
) -> None:
    settings, _ = launched
    target = tmp_path / "trials.csv"
    export(SPEC, settings, Console(), [target])
    export(SPEC, settings, Console())
    before = target.read_bytes()
    for wrong, said in (
        (target, "exists already, and is left as it is"),
        (tmp_path / "trials.xls", r"the suffix names the format: give \.html, \.csv, \.parquet"),
        (tmp_path / "none" / "trials.csv", "there is no folder"),
    ):
        with pytest.raises(LockstepError, match=said):
            export(SPEC, settings, Console(), [tmp_path / "other.csv", wrong])
    assert target.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["trials.csv"], "nothing half-written"


def test_a_study_that_was_never_launched(settings: Settings) -> None:
    with pytest.raises(NothingToShowError):
        export(SPEC, settings, Console())
    assert not settings.home.exists()


@pytest.mark.skipif(installed() is None, reason="no Chromium or Chrome is installed")
def test_the_page_in_a_browser(launched: tuple[Settings, LaunchReport], tmp_path: Path) -> None:
    """Mailed: alone in another folder, without a network."""
    settings, report = launched
    retrain(SPEC, settings, Console(), seeds=0)
    (file, *_) = export(SPEC, settings, Console()).files
    shutil.copy(file, tmp_path / "mailed.html")
    with chromium() as browser:
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "mailed.html").as_uri())
        assert page.title() == f"small: {DESCRIPTION}"
        images = page.locator("img").all()
        figures = [image.get_attribute("alt") for image in images]
        assert {"Heat maps", "Learning curves", "Weights worst to best"} <= set(figures)
        assert sum("Weights of trial" in (alt or "") for alt in figures) == 10
        sizes = page.eval_on_selector_all("img", "all => all.map(each => each.naturalWidth)")
        assert min(sizes) >= 8, "every picture is shown"
        (best,) = [trial for trial in report.trials if trial == report.best]
        text = page.inner_text("body")
        assert f"#{best.number}: " in text
        assert DESCRIPTION in text, "it is shown, not run"
        assert "Uses of the test set" in text
        assert 'name = "small"' in text
        rows = page.locator("table").last.locator("tr").count()
        assert rows == 1 + SMALL_TRIALS
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, "only tables scroll sideways"
        assert complaints == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_nothing_changes_in_the_stores(launched: tuple[Settings, LaunchReport]) -> None:
    settings, _ = launched
    journal = settings.folder("small") / "study.journal"
    before = hashlib.sha256(journal.read_bytes()).hexdigest()
    export(SPEC, settings, Console())
    assert hashlib.sha256(journal.read_bytes()).hexdigest() == before
