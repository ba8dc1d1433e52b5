"""The promise of the same bits, under every kernel that OpenBLAS has for this processor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kernels import KERNELS, kernels_here, with_kernel

TESTS = Path(__file__).parent
BITS = ("core/trainer/test_bits.py", "search/training/test_cohort.py")
RUN = """
import sys
import pytest
sys.path.insert(0, {tests!r})
from kernels import kernels_here
print(kernels_here(), flush=True)
if kernels_here().lower() == {kernel!r}:
    sys.exit(pytest.main({arguments!r}))
"""


@pytest.mark.parametrize("kernel", [each.lower() for each in KERNELS])
def test_bits(kernel: str) -> None:
    """Those that it takes by itself are the ones that the files are run under anyhow."""
    if kernels_here().lower() == kernel:
        pytest.skip(f"OpenBLAS takes {kernel}'s kernels here when it is not asked for any")
    arguments = ["-n0", "-q", "-p", "no:cacheprovider", *(str(TESTS / file) for file in BITS)]
    finished = subprocess.run(
        [sys.executable, "-c", RUN.format(tests=str(TESTS), kernel=kernel, arguments=arguments)],
        cwd=TESTS.parent, env=with_kernel(kernel), capture_output=True, text=True, check=False,
    )  # fmt: skip
    taken, _, told = finished.stdout.partition("\n")
    assert finished.returncode == 0, told[-3000:] + finished.stderr[-1000:]
    if taken.lower() != kernel:
        pytest.skip(f"OpenBLAS takes {taken or 'no'} kernels here when asked for {kernel}")
    assert "[100%]" in told
