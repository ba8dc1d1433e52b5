"""Mounts of a test's own, which vanish with it: full disks, read-only ones."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from command import HUNG, Finished, environment

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


def in_namespace(script: str, folder: Path) -> Finished:
    """Run a shell script there, as root of a namespace whose mounts nobody else sees."""
    process = subprocess.run(
        [*_UNSHARE, script],
        cwd=folder,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=HUNG,
        check=False,
    )
    return Finished(process.returncode, process.stdout, process.stderr)
