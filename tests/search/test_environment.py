"""What people export for their other work, and what of it reaches a command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import mlflow
import pytest
import requests
from command import HUNG, environment, lockstep, start
from ready_store import copy_to
from small_study import small_study, write_study
from stored import client

from search.environment import drop_foreign, exempt_loopback

REDIRECTING = {  # or changing how runs are written
    "MLFLOW_REGISTRY_URI": "sqlite:///elsewhere.db",
    "MLFLOW_EXPERIMENT_NAME": "other",
    "MLFLOW_EXPERIMENT_ID": "0",
    "MLFLOW_RUN_ID": "0123456789abcdef0123456789abcdef",
    "MLFLOW_ACTIVE_MODEL_ID": "m-1",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
    "MLFLOW_STATIC_PREFIX": "/mlflow",
    "MLFLOW_REGISTRY_STORE_URI": "sqlite:///elsewhere.db",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT": "elsewhere",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "elsewhere",
}
REACHING = {
    "MLFLOW_TRACKING_URI": "http://server",
    "MLFLOW_TRACKING_USERNAME": "me",
    "MLFLOW_TRACKING_TOKEN": "secret",
    "MLFLOW_TRACKING_SERVER_CERT_PATH": "ca.pem",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_S3_ENDPOINT_URL": "http://s3",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
    "MLFLOW_WORKSPACE": "team",
}
OTHERS = {
    # A notebook's kernel exports its own; and what else there is on somebody's machine.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "OMP_NUM_THREADS": "abc",
    "COLUMNS": "40",
    "TZ": "Pacific/Apia",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
}


def test_only_what_says_how_a_server_is_reached_is_kept() -> None:
    environment = {"PATH": "/bin"} | REDIRECTING | REACHING
    drop_foreign(environment)
    assert environment == {"PATH": "/bin"} | REACHING


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "http://localhost", "http://[::1]:1"])
def test_no_proxy_applies_to_this_machine(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv(variable, "http://proxy:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    changed = dict(os.environ)
    exempt_loopback(changed)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, changed[name])
    assert not requests.utils.get_environ_proxies(address)  # as MLflow's client asks
    assert urllib.request.proxy_bypass_environment("127.0.0.1:5000")  # type: ignore[attr-defined]
    assert not requests.utils.get_environ_proxies("http://example.org")
    assert requests.utils.get_environ_proxies("https://openml.org")


@pytest.mark.parametrize("given", [{}, {"NO_PROXY": "a"}, {"http_proxy": "p", "no_proxy": "*"}])
def test_without_a_proxy_nothing_changes(given: dict[str, str]) -> None:
    changed = dict(given)
    exempt_loopback(changed)
    assert {name: changed[name] for name in given} == given
    assert set(changed) <= {*given, "NO_PROXY"}


@pytest.mark.parametrize("what", ["core/__init__.py", "core.py", "search/__init__.py"])
def test_a_package_that_hides_ours_is_named(tmp_path: Path, what: str) -> None:
    hiding = tmp_path / "project" / what
    hiding.parent.mkdir(parents=True)
    hiding.touch()
    path = {"PYTHONPATH": str(tmp_path / "project")}
    process = start("compare", "digits-3v6", cwd=tmp_path, variables=path, cold=True)
    out, err = process.communicate(timeout=HUNG)
    assert (process.returncode, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(
        f"lockstep: {tmp_path / 'project' / what.split('/')[0]} hides Lockstep's"
    )
    assert "PYTHONPATH" in line


@pytest.fixture
def compiled(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where Python keeps what it compiles at another degree of optimisation: all packages, which
    takes longer than all else, so it is kept for the next time."""
    cache = getattr(request.config, "cache", None)
    return tmp_path / "compiled" if cache is None else Path(cache.mkdir("compiled"))


# Both commands as the console script runs them, in one process, since most of their time would be
# that of importing everything. Each begins with what the process was started with.
_COMMANDS = """
import os, sys, warnings
from lockstep_entry import main

exported, options = dict(os.environ), sys.warnoptions[:]
for command in sys.argv[1:]:
    os.environ.clear()
    os.environ.update(exported)
    sys.warnoptions[:] = options
    sys.argv = ["lockstep", *command.split()]
    with warnings.catch_warnings():  # which puts back what warnings do
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
"""


def test_what_else_is_exported_changes_nothing(tmp_path: Path, compiled: Path) -> None:
    """A study is launched and retrained in an environment that is full of other work."""
    one = small_study({"baseline": None}, learning_rate=[0.1], weight_decay=[0], batch_size=[16])
    write_study(tmp_path, one)
    copy_to(tmp_path / "runs" / "mlflow.db")
    with socket.socket() as unused:  # that nobody listens on, though it is taken
        unused.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
        variables = REDIRECTING | OTHERS | {"http_proxy": proxy, "HTTP_PROXY": proxy}
        variables |= {"PYTHONPYCACHEPREFIX": str(compiled), "PYTHONDONTWRITEBYTECODE": ""}
        commands = ("launch study.toml --workers 1", "retrain study.toml --seeds 0")
        done = subprocess.run(
            [sys.executable, "-c", _COMMANDS, *commands],
            cwd=tmp_path, env=environment() | variables, capture_output=True, text=True,
            timeout=HUNG, check=False,
        )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("elsewhere*"))
    store = client(tmp_path / "runs")
    assert [each.name for each in store.search_registered_models()] == ["small"]
    assert {each.name for each in store.search_experiments()} == {"Default", "small"}
    (run,) = store.search_runs(
        [store.get_experiment_by_name("small").experiment_id], "tags.`lockstep.role` = 'retrain'"
    )
    assert not [name for name in run.data.metrics if name.startswith("system/")]
    assert (tmp_path / "runs" / "small" / "figures" / "heat_maps.png").is_file()
    assert mlflow.active_run() is None


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("./mlruns", "this is a folder, in which MLflow no longer keeps runs"),
        ("file:///tmp/mlruns", "this is a folder"),
        ("databricks", "on Databricks, experiments and models have other names"),
        ("databricks://profile", "on Databricks"),
    ],
)
def test_a_tracking_uri_that_cannot_hold_a_study(tmp_path: Path, uri: str, told: str) -> None:
    write_study(tmp_path)
    process = start("launch", "study.toml", cwd=tmp_path, variables={"MLFLOW_TRACKING_URI": uri})
    _, err = process.communicate(timeout=HUNG)
    assert process.returncode == 2
    (line,) = err.splitlines()
    assert line.startswith(f"lockstep: the environment variable MLFLOW_TRACKING_URI = {uri!r}: ")
    assert told in line
    assert "unset MLFLOW_TRACKING_URI" in line
    given = lockstep("launch", "study.toml", "--tracking-uri", uri, cwd=tmp_path)
    assert given.err.startswith(f"lockstep: --tracking-uri = {uri!r}: ")
    assert given.err.rstrip().endswith("or leave it out to use the store in --home")
    assert [each.name for each in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.parametrize("option", ["--home", "--storage", "--tracking-uri", "--data-dir"])
def test_an_empty_option_names_nothing(tmp_path: Path, option: str) -> None:
    """As it is given where a variable of the shell is not set."""
    write_study(tmp_path)
    refused = lockstep("launch", "study.toml", option, "", cwd=tmp_path)
    assert refused.code == 2
    assert option in refused.err
    assert "a variable of the shell is empty" in refused.err
    assert [each.name for each in tmp_path.iterdir()] == ["study.toml"]
