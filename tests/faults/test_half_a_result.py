"""A worker is killed in the middle of its result. The moment is rare, so it is brought about."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from spawned import REPOSITORY, environment

IN_A_WORKER = """
import os, signal
from multiprocessing.connection import Connection
from pathlib import Path

MARK = Path(os.environ["MARK"])
LARGE = 100_000  # bytes: more than fit into a pipe at once
send = Connection._send

def send_half(connection, message, *args):
    if len(message) > LARGE:
        try:
            MARK.touch(exist_ok=False)
        except FileExistsError:
            pass  # once is enough
        else:
            send(connection, message[: len(message) // 2], *args)
            os.kill(os.getpid(), signal.SIGKILL)
    send(connection, message, *args)

Connection._send = send_half
"""
SCRIPT = """
import sys
sys.path[:0] = ["tests"]
from strategies import make_problem
from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from core.trainer.stack import Stack
from search.training.executor import StackJob
from search.training.processes import processes
from watching import Watching

if __name__ == "__main__":
    trials = tuple(Hyperparameters(0.1, 0.0, 83) for _ in range(2000))
    jobs = [StackJob(Stack(trials, Penalty.NORM, 0), 1)] * 3
    with processes([make_problem(2).data], 2) as executor:
        print(len(list(executor.run(jobs, Watching()))))
"""


def test_a_worker_killed_in_the_middle_of_its_result(tmp_path: Path) -> None:
    script, mark = tmp_path / "half.py", tmp_path / "killed"
    script.write_text(SCRIPT)
    driver = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=REPOSITORY,
        env=environment(tmp_path, IN_A_WORKER) | {"MARK": str(mark)},
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        out, _ = driver.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
    assert out == "3\n"
    assert mark.exists()
