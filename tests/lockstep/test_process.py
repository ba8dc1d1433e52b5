"""Lockstep in somebody else's process: scripts, threads, signals, and what is left as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import HUNG, REPOSITORY, environment, python_script
from ready_store import copy_to

_DATA = """
import lockstep
from sklearn.datasets import load_digits
X, y = load_digits(n_class=2, return_X_y=True)
def study(name, **options):
    return lockstep.Study(name, X / 16, y, batch_size=[4], weight_decay=[0], **options)
"""

# Enough epochs that training processes are started, which would run the script again.
_SCRIPT = (
    """
import json, logging, multiprocessing, os, signal, sys, threading, warnings
print("started", flush=True)
os.environ["MLFLOW_EXPERIMENT_NAME"] = "mine"
"""
    + _DATA
    + """
import mlflow, optuna, psutil, matplotlib
from threadpoolctl import threadpool_info

def handle(number, frame): ...
signal.signal(signal.SIGTERM, handle)
mlflow.set_tracking_uri("sqlite:///mine.db")
logging.getLogger("mlflow").setLevel(logging.INFO)
optuna.logging.set_verbosity(optuna.logging.INFO)

def state():
    loggers = ("", "mlflow", "alembic", "optuna", "urllib3.connectionpool", "matplotlib")
    return {
        "environment": dict(os.environ),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "warnings": (warnings.filters[:], sys.warnoptions[:]),
        "folder": os.getcwd(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook),
        "logging": [
            (each.level, each.handlers[:], each.filters[:], each.disabled, each.propagate)
            for each in map(logging.getLogger, loggers)
        ],
        "blas": sorted((each["filepath"], each["num_threads"]) for each in threadpool_info()),
        "backend": dict(matplotlib.rcParams),
        "start": multiprocessing.get_start_method(allow_none=True),
        "main": (sys.modules["__main__"].__spec__, sys.path[:], sys.argv[:]),
        "mlflow": (mlflow.get_tracking_uri(), mlflow.active_run()),
    }

found = {}
def launch(name):
    lasts = study(name, epochs=200, learning_rate=[0.1, 0.2], home="runs", tracking_uri=uri)
    found[name] = len(lasts.launch(verbose=False).trials)

uri = f"sqlite:///{os.getcwd()}/theirs.db"
before = state()
threads = [threading.Thread(target=launch, args=[name]) for name in ("one", "two")]
for each in threads:
    each.start()
most = 0
while not most and any(each.is_alive() for each in threads):
    most = len(psutil.Process().children(recursive=True))  # reads of all processes there are
    threads[0].join(0.02)
    threads[1].join(0.02)
for each in threads:
    each.join()
with mlflow.start_run() as run:
    study("one", epochs=200, learning_rate=[0.1, 0.2], tracking_uri=uri).retrain(
        seeds=0, verbose=False
    )
    still = mlflow.active_run().info.run_id == run.info.run_id
after = state()
session = "_MLFLOW_TELEMETRY_SESSION_ID"  # of the run above
for each in (before, after):
    each["environment"].pop(session, None)
print(json.dumps({
    "found": found, "processes": most, "still": still,
    "changed": [f"{key}: {before[key]} {after[key]}" for key in before
                if before[key] != after[key]],
}))
"""
)


def test_a_script_without_a_guard_and_with_threads(tmp_path: Path) -> None:
    """It is run once, its training processes do not run it, and nothing of it is changed."""
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    (tmp_path / "lockstep").mkdir()  # which is no package, and hides none
    for database in ("mine.db", "theirs.db"):
        copy_to(tmp_path / database)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", str(script)],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=HUNG, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("started") == 1
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["found"] == {"one": 2, "two": 2}
    assert told["processes"] >= 1, "training processes were started"
    assert told["still"], "the caller's run in MLflow is still the active one"
    assert told["changed"] == []


_INTERRUPTED = (
    """
import os, signal, sys, threading, time
"""
    + _DATA
    + """
NUMBER, HANDLER = signal.Signals(int(sys.argv[1])), sys.argv[2]
def recorded():
    try:
        with open("runs/long/study.journal", "rb") as journal:
            return journal.read().count(b"lockstep.result")
    except FileNotFoundError:
        return 0
def interrupt():
    before = recorded()
    while recorded() == before:
        time.sleep(0.01)
    os.kill(os.getpid(), NUMBER)
if HANDLER == "own":
    signal.signal(NUMBER, lambda number, frame: print("handled"))
long = study("long", epochs=1, learning_rate=lockstep.log(1e-3, 1, 15))
threading.Thread(target=interrupt, daemon=True).start()
try:
    found = long.launch(verbose=False)
except KeyboardInterrupt as error:
    print(f"interrupted: {error}; {recorded()}")
else:
    print(f"returned {len(found.trials)}")
"""
)


@pytest.mark.parametrize("handler", ["default", "own"])
def test_ctrl_c_stops_safely_and_the_same_call_continues(tmp_path: Path, handler: str) -> None:
    """With a handler of the program's own, that is called instead, and nothing is stopped."""
    script = tmp_path / "script.py"
    script.write_text(_INTERRUPTED)
    first = python_script(script, "2", handler, cwd=tmp_path)
    if handler == "own":
        assert first.out == "handled\nreturned 15\n", first.err
        return
    said, _, finished = first.out.strip().partition("; the same call continues.; ")
    assert said == "interrupted: stopped. Finished trials are kept", first.err
    assert 1 <= int(finished) < 15
    runs = list((tmp_path / "runs" / "artifacts").rglob("result.npz"))
    assert len(runs) == int(finished)
    rest = python_script(script, "2", "own", cwd=tmp_path)
    assert rest.out.splitlines()[-1] == "returned 15", rest.err


def test_another_signal_ends_the_program_as_it_would_have(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_INTERRUPTED)
    ended = python_script(script, "15", "default", cwd=tmp_path)
    assert (ended.code, ended.out) == (-15, "")


def test_importing_it_loads_no_heavy_package_and_it_is_typed() -> None:
    code = (
        "import json, sys, lockstep\n"
        "print(json.dumps([sorted({n.partition('.')[0] for n in sys.modules}), dir(lockstep)]))"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=HUNG, check=True
    )
    loaded, public = json.loads(run.stdout)
    heavy = {"scipy", "sklearn", "pandas", "optuna", "mlflow", "matplotlib", "pydantic"}
    assert not heavy & set(loaded)
    assert public == sorted(
        ["Axis", "Found", "LockstepClassifier", "LockstepError", "Study", "linear", "load", "log"]
    )
    assert all(
        (REPOSITORY / name / "py.typed").is_file() for name in ("core", "search", "lockstep")
    )


@pytest.mark.parametrize("name", ["core", "search"])
def test_a_package_that_hides_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    run = subprocess.run(
        [sys.executable, "-c", "import lockstep"],
        cwd=tmp_path, capture_output=True, text=True, timeout=HUNG, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert f"ImportError: {tmp_path / name} hides Lockstep's own package `{name}`" in run.stderr
