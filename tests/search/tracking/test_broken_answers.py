"""A server that is killed while it sends an answer: MLflow's own client gives up then."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from search.tracking.broken_answers import ATTEMPTS, again_if_broken_off

ANSWER = json.dumps({"run": {"info": {"run_id": "1", "experiment_id": "0"}, "data": {}}}).encode()


class Server(HTTPServer):
    """A server that breaks off its first answers."""

    broken = 0
    asked = 0


class Handler(BaseHTTPRequestHandler):
    """Says how long its answer is, and sends all of it or nothing."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        if self.server.asked > self.server.broken:
            self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as opened:
        thread = threading.Thread(target=opened.serve_forever)
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


@pytest.fixture
def ask(server: Server) -> Callable[[], str]:
    client = MlflowClient(f"http://127.0.0.1:{server.server_port}")
    return lambda: str(client.get_run("1").info.run_id)


def test_mlflow_gives_up_by_itself(server: Server, ask: Callable[[], str]) -> None:
    server.broken = 1
    with pytest.raises(MlflowException, match="IncompleteRead"):
        ask()


def test_it_is_asked_again(server: Server, ask: Callable[[], str]) -> None:
    server.broken = ATTEMPTS - 1
    assert again_if_broken_off(ask) == "1"
    assert server.asked == ATTEMPTS


def test_not_for_ever(server: Server, ask: Callable[[], str]) -> None:
    server.broken = 100
    with pytest.raises(MlflowException, match="IncompleteRead"):
        again_if_broken_off(ask)
    assert server.asked == ATTEMPTS


def test_other_errors_are_raised_at_once() -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise MlflowException("there is no such run")

    with pytest.raises(MlflowException, match="no such run"):
        again_if_broken_off(fail)
    assert len(calls) == 1
