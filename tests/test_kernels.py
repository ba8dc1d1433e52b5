"""The promise of the same bits, under every kernel that OpenBLAS has for this processor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kernels import KERNELS, kernels_taken, with_kernel

TESTS = Path(__file__).parent
BITS = ("core/trainer/test_bits.py", "search/training/test_cohort.py")


@pytest.mark.parametrize("kernel", KERNELS)
def test_bits(kernel: str) -> None:
    if (taken := kernels_taken(kernel)).lower() != kernel.lower():
        pytest.skip(f"OpenBLAS takes {taken or 'no'} kernels here when asked for {kernel}")
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider",
         *(str(TESTS / file) for file in BITS)],
        cwd=TESTS.parent, env=with_kernel(kernel), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-1000:]
