"""What Lockstep needs of the system it runs on: nothing that only POSIX has, in order to start."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import HUNG

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("core", "search", "lockstep")
    for file in sorted((ROOT / package).rglob("*.py"))
]

# Names that Windows does not have.
NO_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NO_NAMES = {
    *("fork", "forkpty", "getpgid", "geteuid", "getuid", "killpg", "setpgid", "setsid", "getpgrp"),
    *("sched_getaffinity", "statvfs", "O_CLOEXEC", "O_NOFOLLOW", "WNOHANG", "mkfifo", "chown"),
    *("pthread_sigmask", "alarm", "setitimer", "sigwait", "pause"),
    *(name for name in dir(signal) if re.fullmatch("SIG[A-Z0-9]+", name)),
} - {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}

# Libraries are imported as they are here; they choose what fits the system themselves. Then the
# names are taken away, and our own modules are imported.
WITHOUT = """
import importlib, json, os, signal, sys

root, ours, no_modules, no_names = json.load(sys.stdin)
sys.path.insert(0, root)
for name in ours:
    importlib.import_module(name)
packages = ("core", "search", "lockstep")
for name in [each for each in sys.modules if each.partition(".")[0] in packages]:
    del sys.modules[name]
for name in no_modules:
    sys.modules[name] = None
for name in no_names:
    for module in (os, signal):
        vars(module).pop(name, None)
for name in ours:
    importlib.import_module(name)
"""


def test_every_module_starts_without_what_only_posix_has() -> None:
    assert {"search.cli", "search.study.file_lease", "search.training.worker"} <= set(MODULES)
    told = json.dumps([str(ROOT), MODULES, sorted(NO_MODULES), sorted(NO_NAMES)])
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input=told, capture_output=True, text=True, timeout=HUNG, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("module", MODULES)
def test_no_module_uses_what_only_posix_has(module: str) -> None:
    """Later neither; `getattr` with a default may ask whether it is there."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id not in ("os", "signal") or node.attr not in NO_NAMES, node.lineno
        elif isinstance(node, ast.Import):
            assert not NO_MODULES & {alias.name for alias in node.names}, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in NO_MODULES, node.lineno
            assert not NO_NAMES & {alias.name for alias in node.names}, node.lineno
