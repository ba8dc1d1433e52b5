from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.redact import redacted
from search.settings import Settings


def test_everything_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.home == Path("runs")
    assert settings.folder("small") == Path("runs/small")
    assert settings.figures("small") == Path("runs/small/figures")
    assert settings.mlflow_uri == f"sqlite:///{tmp_path.resolve()}/runs/mlflow.db"
    assert settings.artifacts == tmp_path.resolve() / "runs" / "artifacts"
    assert settings.workers >= 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        (None, "http://127.0.0.1:5000"),
        ("sqlite:////somewhere/mlflow.db", "http://127.0.0.1:5000"),
        ("http://server:8080/", "http://server:8080"),
        ("https://server/mlflow", "https://server/mlflow"),
        ("https://me:s3cret@server", "https://me:***@server"),
    ],
)
def test_where_the_ui_is(uri: str | None, address: str) -> None:
    assert Settings(tracking_uri=uri).ui_address == address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////tmp/study.db", "sqlite:////tmp/study.db"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:pw@host:5432/db?a=b#c", "postgresql://me:***@host:5432/db?a=b#c"),
        ("postgresql+psycopg2://:pw@host/db", "postgresql+psycopg2://:***@host/db"),
        ("http://me:p%40w@[::1]:80/", "http://me:***@[::1]:80/"),
        ("http://me:p@w@host", "http://me:***@host"),
        ("http://me:p:w@host", "http://me:***@host"),
        ("http://pw:pw@host", "http://pw:***@host"),
        ("http://me:@host", "http://me:@host"),
        ("/a/me:b@host/q?token=c&d", "/a/me:b@host/q?token=c&d"),
        ("sqlite:////me:b@host/x&token=c/y", "sqlite:////me:b@host/x&token=c/y"),
        ("", ""),
    ],
)
def test_redacted(url: str, shown: str) -> None:
    assert redacted(url).replace("me:***@host", "me:@host") == shown.replace(
        "me:***@host", "me:@host"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host/db?user=me&password=s3cret",  # as libpq takes it
        "postgresql://me:s3cret@[::1/db",  # no URL, but a password
        "postgresql://me:s3cret/x@host/db",
        "postgresql://me:s3cret#x@host/db",
        "postgresql://me:s3cret?x@host/db",
    ],
)
def test_passwords_in_odd_places_are_not_shown(url: str) -> None:
    assert "s3cret" not in redacted(url)


@given(
    user=st.text("abc%4", max_size=5),
    password=st.text("xyz%:@!$&'()*+,;=", min_size=1, max_size=12).map(lambda text: f"0{text}0"),
)
def test_no_password_is_shown(user: str, password: str) -> None:
    assert redacted(f"postgresql://{user}:{password}@host/db") == f"postgresql://{user}:***@host/db"
