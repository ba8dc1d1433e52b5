"""Mounts of a test's own, which vanish with it: full disks, read-only ones."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from command import HUNG, Finished, lockstep

_UNSHARE = ["unshare", "--map-root-user", "--mount", "sh", "-euc"]
_TRY = 'mount -t tmpfs -o size=64k tmpfs "$0"'


def _possible() -> bool:
    """Whether this user may mount at all: root, or where the kernel lets users have namespaces."""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*_UNSHARE, _TRY, "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


needs_namespaces = pytest.mark.skipif(
    not _possible(), reason="this kernel lets this user mount nothing"
)


class Namespace:
    """Where a test's own mounts are seen, as by root, and by nobody else."""

    def __init__(self, process: int, folder: Path) -> None:
        self.process = process
        self.folder = folder

    def shell(self, script: str) -> None:
        """Run a shell script there."""
        enter = ["nsenter", f"--target={self.process}", "--user", "--mount"]
        done = subprocess.run(
            [*enter, "sh", "-euc", f'cd "$0"\n{script}', str(self.folder)],
            text=True, capture_output=True, timeout=HUNG, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def lockstep(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Finished:
        return lockstep(*arguments, cwd=self.folder, variables=variables, namespace=self.process)


@contextlib.contextmanager
def namespace(folder: Path) -> Iterator[Namespace]:
    """A namespace, in which commands run in this folder."""
    holder = [*_UNSHARE, "echo; exec cat"]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            yield Namespace(process.pid, folder)
        finally:
            process.kill()
