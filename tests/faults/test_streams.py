"""Standard streams that are closed, that cannot encode what is printed, or that nobody reads; a
terminal that is closed; and Ctrl-C at an odd moment."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm
from command import HUNG, LOCKSTEP, environment, lockstep, python_script, start
from small_study import FEW, SMALL_TRIALS, small_study, write_study
from stored import optuna_trials, runs

from search.commands.interrupts import stop_requests
from search.console import Console
from search.errors import OutputLostError
from search.process import open_streams

pytestmark = pytest.mark.xdist_group("streams")  # so that its study is launched once

ROOT = Path(__file__).parents[2]
STARTED = (
    "import search.entry\nimport os, signal, sys, time\n"
    "from search.process import begin, end\nbegin()\n"
)


def python(code: str, redirected: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python in a process that has begun as a command does."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, STARTED + code],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=HUNG, check=False,
    )  # fmt: skip


# As Python starts where they are closed. That it does is seen below, with commands that take less
# time to import what they need.
CLOSED = """
import os, sys
for number in range(3):
    os.close(number)
for name in ("stdin", "stdout", "stderr"):
    setattr(sys, name, None)
    setattr(sys, f"__{name}__", None)
from lockstep_entry import main
main()
"""


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was launched without any standard stream."""
    folder = tmp_path_factory.mktemp("launched")
    write_study(folder, small_study(**FEW))
    (folder / "closed.py").write_text(CLOSED)
    done = python_script(folder / "closed.py", "launch", "study.toml", "--json", cwd=folder)
    assert (done.code, done.out, done.err) == (0, "", "")
    return folder


def test_a_launch_without_standard_streams(launched: Path) -> None:
    """Nothing that was printed got into its files."""
    home = launched / "runs"
    assert len(optuna_trials(home, "small")) == 2
    for line in (home / "small" / "study.journal").read_text().splitlines():
        assert isinstance(json.loads(line), dict)
    assert runs(home, "small", "study")[0].info.status == "FINISHED"
    assert (home / "mlflow.db").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_file_never_gets_the_number_of_a_standard_stream(tmp_path: Path, closed: str) -> None:
    file = tmp_path / "study.db"
    code = f"""
file = open({str(file)!r}, "w")
assert file.fileno() > 2 and all(map(os.get_inheritable, range(3)))
print("told"); sys.stderr.write("told"); os.write(2, b"told"); os.write(1, b"told")
assert sys.stdin.read() == ""
end(0)
"""
    done = python(code, f"{closed} " + ("" if "<" in closed else "</dev/null"))
    assert done.returncode == 0, done.stderr
    assert file.read_text() == ""


def test_the_console_script_starts_without_standard_streams(tmp_path: Path) -> None:
    """It says nothing, and finds what is wrong."""
    script = f"{LOCKSTEP} --help >&- 2>&- <&-; echo $?; {LOCKSTEP} compare absent >&- 2>&- <&-"
    done = subprocess.run(
        ["sh", "-c", f"{script}; echo $?"], cwd=tmp_path, env=environment(), capture_output=True,
        text=True, timeout=HUNG, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0\n2\n", "")


def test_what_a_stream_cannot_encode_looks_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("latin-1", "ascii", "cp437", "utf-8"):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
        open_streams()
        print("a ≥ b → c … 2 × 3 ± ½ λ ‖W‖₂ é \udcff 中", end="", flush=True)
        text = written.getvalue().decode(encoding)
        if encoding == "latin-1":
            assert text == "a >= b -> c ... 2 × 3 ± ½ lambda ||W||2 é ? ?"
        elif encoding == "ascii":
            assert text == "a >= b -> c ... 2 x 3 +- 12 lambda ||W||2 e ? ?"
        elif encoding == "utf-8":
            assert text == "a ≥ b → c … 2 × 3 ± ½ λ ‖W‖₂ é ? 中"


@pytest.fixture
def unread() -> Iterator[int]:
    """A descriptor that can be written to and that nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


@pytest.mark.parametrize("command", ["compare study.toml", "--help", "compare study.toml --json"])
def test_a_short_command_that_nobody_reads_ends_quietly(
    launched: Path, unread: int, command: str
) -> None:
    process = start(*command.split(), cwd=launched, stdout=unread)
    _, err = process.communicate(timeout=HUNG)
    assert process.returncode == 141, err
    assert "lockstep: " not in err
    assert "Error" not in err


def test_a_reader_that_goes_away_stops_a_launch(tmp_path: Path) -> None:
    """As `| head -4` does: what is trained is recorded, the study's run ended, and it is said."""
    write_study(tmp_path, small_study(epochs=100))
    process = start("launch", "study.toml", "--workers", "1", cwd=tmp_path, warm_children=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("  search"):
        assert process.poll() is None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=HUNG)
    assert process.returncode == 141, err
    assert err == (
        "lockstep: stopped: nobody reads what it prints. Finished trials are kept; the same "
        "command continues.\n"
    )
    (parent,) = runs(tmp_path / "runs", "small", "study")
    assert parent.info.status == "KILLED"
    assert {run.info.status for run in runs(tmp_path / "runs", "small", "trial")} <= {"FINISHED"}
    assert lockstep("launch", "study.toml", cwd=tmp_path).code == 0
    assert len(optuna_trials(tmp_path / "runs", "small")) == SMALL_TRIALS


def test_a_full_disk_behind_standard_output() -> None:
    console = Console()
    with open("/dev/full", "w") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(OutputLostError, match="No space left"):
            console.say("told")
        lost: list[OutputLostError] = []
        console.on_loss = lost.append
        console.say("told")
        assert not lost[0].nobody_reads
        patch.undo()
        with pytest.raises(OSError, match="No space left"):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_terminal_that_is_closed_stops_a_launch(tmp_path: Path) -> None:
    """The kernel sends SIGHUP to all processes of the terminal, and what is printed is lost."""
    # So many trials that the launch cannot be over before it is told, however busy the machine is.
    write_study(tmp_path, small_study(sampler="random", trials=4_000, cohort=4))
    terminal, its_end = pty.openpty()
    process = warm.start(
        LOCKSTEP, ["launch", "study.toml"], cwd=tmp_path, environment=environment(),
        stdout=its_end, stderr=its_end, new_group=True, terminal=True, warm_children=True,
    )  # fmt: skip
    os.close(its_end)
    journal = tmp_path / "runs" / "small" / "study.journal"
    os.set_blocking(terminal, False)
    shown = b""
    deadline = time.monotonic() + HUNG
    while not journal.exists() or b"lockstep.result" not in journal.read_bytes():
        try:
            shown += os.read(terminal, 1 << 16)
        except BlockingIOError:
            time.sleep(0.02)
        assert time.monotonic() < deadline, shown
    os.close(terminal)
    assert process.wait(timeout=HUNG) == 130, shown
    assert b"Traceback" not in shown
    (parent,) = runs(tmp_path / "runs", "small", "study")
    assert parent.info.status == "KILLED"
    assert optuna_trials(tmp_path / "runs", "small")


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As below `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests(lambda text: None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.made()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.made()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_before_there_is_anything_to_finish_is_silent() -> None:
    """While it imports, or where a library would swallow the exception or print it."""
    swallowed = """
class Odd:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
try:
    Odd()
except BaseException:
    pass
time.sleep(60)
"""
    done = python(swallowed)
    assert done.returncode == -signal.SIGINT, "a shell reports 130"
    assert done.stdout + done.stderr == ""


def test_ctrl_c_while_its_announcement_cannot_be_printed() -> None:
    def no_output(text: str) -> None:
        raise RuntimeError("reentrant call")

    with stop_requests(no_output) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.made()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
