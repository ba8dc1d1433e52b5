from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.cli import cli
from search.errors import LockstepError
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


def test_where_browsers_reach_the_ui() -> None:
    """Links begin with it, whatever the server's name is where the command runs."""
    for uri in (None, "http://mlflow:5000"):
        settings = Settings(tracking_uri=uri, public_address="https://me:s3cret@host/mlflow/")
        assert settings.ui_address == "https://me:***@host/mlflow"
        assert settings.served == (uri is not None)


@pytest.mark.parametrize("named_by", ["--ui-address", "LOCKSTEP_UI_ADDRESS"])
@pytest.mark.parametrize(
    "wrong",
    ["mlflow:5000", "host", "ftp://host", "http://", "http://host:port", "http://[::1", "http:///x",
     "http://me:s3cret@host/#/runs", "http://me:s3cret@host/?a=b", " http://host", "http://host:0"],
)  # fmt: skip
def test_no_ui_address(monkeypatch: pytest.MonkeyPatch, named_by: str, wrong: str) -> None:
    arguments, name = ["digits-3v6"], f"the environment variable {named_by}"
    if named_by.startswith("--"):
        arguments, name = [*arguments, named_by, wrong], named_by
    else:
        monkeypatch.setenv(named_by, wrong)
    with pytest.raises(LockstepError) as refused:
        cli.commands["compare"].make_context("compare", arguments)
    said = str(refused.value)
    assert said.startswith(f"{name} = ")
    assert "links cannot begin with this; name where your browser reaches the MLflow UI" in said
    assert "s3cret" not in said


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker-compose.yml gives them; what it leaves empty counts as not given."""
    monkeypatch.setenv("LOCKSTEP_CLUSTER", "tcp://scheduler:8786")
    monkeypatch.setenv("LOCKSTEP_UI_ADDRESS", "http://127.0.0.1:5555")
    for command in ("launch", "sync"):
        taken = cli.commands[command].make_context(command, ["digits-3v6"]).params
        assert taken["cluster"] == "tcp://scheduler:8786"
        assert taken["public_address"] == "http://127.0.0.1:5555"
    for name in ("LOCKSTEP_CLUSTER", "LOCKSTEP_UI_ADDRESS"):
        monkeypatch.setenv(name, "")
    taken = cli.commands["launch"].make_context("launch", ["digits-3v6"]).params
    assert taken["cluster"] is taken["public_address"] is None


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
