"""Serve the MLflow UI of a study's store, reachable from this machine only."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator, Sequence

import psutil

from search.commands.home import readable
from search.commands.interrupts import InterruptedStudyError, StopRequest, handled
from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_spec import StudySpec
from search.study.opening import load_study
from search.tracking.links import BEST_VIEW, SEARCH_VIEW, SIDE_VIEW, run_url, table_url
from search.tracking.store import load_tracker
from search.tracking.tracker import Tracker
from search.tracking.views import view_urls

HOST = "127.0.0.1"
READY_SECONDS = 60.0
POLL_SECONDS = 0.2
# Job execution would start eight processes that survive a SIGTERM, and the UI does not need them.
_QUIET_SERVER = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
_COPY = (
    "The home can only be read, or a study runs in it that was started in another place: the UI "
    "shows a copy of its MLflow store as it is now, and what you change there is not kept."
)


def free_port(wanted: int) -> int:
    """Return the wanted port if it is free, otherwise one that the system chooses.

    Raises LockstepError if no port is free.
    """
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LockstepError(f"no free port on {HOST}")


def serve(
    spec: StudySpec, settings: Settings, port: int, browser: bool, say: Callable[[str], None]
) -> None:
    """Serve the MLflow UI until Ctrl-C, SIGTERM or the end of the terminal.

    If the study is on an MLflow server, only links to its UI are printed. Raises LockstepError,
    also if the server ends.
    """
    study = load_study(spec, settings)  # or an error that says what to do if it was never launched
    with readable(settings, say) as places:
        if places is not settings:
            say(_COPY)
        _serve(load_tracker(spec, places, "lockstep ui", study.identity()), port, browser, say)


def _serve(tracker: Tracker, port: int, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the UI of a store that can be read; see `serve`."""
    settings = tracker.settings
    if settings.served:
        _show(settings.ui_address, tracker, browser, say)
        return
    chosen = free_port(port)
    if chosen != port:
        say(f"Port {port} is taken; using {chosen}.")
    address = f"http://{HOST}:{chosen}"
    say(f"Starting the MLflow UI on {address} …")
    stop = StopRequest()
    with handled(lambda *_: stop.make()), _server(settings, chosen) as (server, children):
        try:
            _wait_until_ready(server, address, tracker.parent_run_id, stop)
            children += server.children(recursive=True)
            _show(address, tracker, browser, say)
            say("Ctrl-C stops it.")
            while server.poll() is None:
                stop.honour()
                time.sleep(POLL_SECONDS)
        except InterruptedStudyError:
            say("Stopped.")
            return
    raise LockstepError(f"the MLflow server has ended, with exit code {server.returncode}")


@contextlib.contextmanager
def _server(settings: Settings, port: int) -> Iterator[tuple[psutil.Popen, list[psutil.Process]]]:
    """Start the MLflow server, and end it with all processes that it has started.

    It is yielded with a list for those that are known, which are ended even if the server has died.
    """
    server = psutil.Popen(
        _command(settings, port),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | _QUIET_SERVER,
        # Ctrl-C is to reach us alone; we end the server. Each system has its own way to say so.
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    children: list[psutil.Process] = []
    try:
        yield server, children
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            children += server.children(recursive=True)
        _end([server, *children])


def _command(settings: Settings, port: int) -> list[str]:
    """Return the command line of the MLflow server."""
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", settings.mlflow_uri, "--no-serve-artifacts"),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
    ]


def _wait_until_ready(server: psutil.Popen, address: str, run_id: str, stop: StopRequest) -> None:
    """Wait until the server answers with this run.

    Raises LockstepError if it does not, or if another server has taken the port meanwhile, and
    InterruptedStudyError if the user asks to stop.
    """
    question = f"{address}/ajax-api/2.0/mlflow/runs/get?run_id={run_id}"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever the proxies
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        stop.honour()
        if server.poll() is not None:
            raise LockstepError(
                f"the MLflow server ended at once with exit code {server.returncode}"
            )
        try:
            with direct.open(question, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise LockstepError(
                    f"another server answers at {address}; run the command again, or choose a "
                    "port with --port"
                ) from error
            time.sleep(POLL_SECONDS)
        except OSError:
            time.sleep(POLL_SECONDS)
    raise LockstepError(f"the MLflow server did not answer within {READY_SECONDS:.0f} seconds")


def _show(address: str, tracker: Tracker, browser: bool, say: Callable[[str], None]) -> None:
    """Print the links, and open the first in a browser if one is wanted."""
    experiment = (address, tracker.experiment_id)
    views = view_urls(tracker, address)
    pages = {
        "best trials": views.get(BEST_VIEW),
        "coordinates": views.get(SEARCH_VIEW),
        "side by side": views.get(SIDE_VIEW),
        "run table": table_url(*experiment),
        "the study": run_url(*experiment, tracker.parent_run_id),
    }
    shown = {name: url for name, url in pages.items() if url is not None}
    for name, url in shown.items():
        say(f"{name:14}{url}")
    if browser:
        webbrowser.open(next(iter(shown.values())))


def _end(processes: Sequence[psutil.Process]) -> None:
    """End these processes, by force if a request is not enough."""
    left = list(dict.fromkeys(processes))
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        _, left = psutil.wait_procs(left, timeout=10)
