"""Code that runs in each process that a program of ours spawns, before anything else."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def environment(folder: Path, code: str = "") -> dict[str, str]:
    """The variables of a program whose spawned processes run some code when they start.

    Python imports a module of this name by itself. folder: where it is written.
    """
    if code:
        condition = 'import sys\nif "spawn_main" in " ".join(sys.orig_argv):\n'
        (folder / "sitecustomize.py").write_text(condition + textwrap.indent(code, "    "))
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}
