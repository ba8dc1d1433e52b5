"""The kernels that OpenBLAS has for this processor: one environment variable chooses among them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

VARIABLE = "OPENBLAS_CORETYPE"
_BY_MACHINE = {
    "x86_64": ("Nehalem", "Sandybridge", "Haswell", "Zen", "SkylakeX"),
    "aarch64": ("ARMV8", "NEOVERSEN1", "NEOVERSEV1"),
}
KERNELS = _BY_MACHINE.get(platform.machine(), ())


def kernels_here() -> str:
    """Return what OpenBLAS has taken in this process."""
    import numpy  # noqa: F401, its OpenBLAS
    import scipy.linalg.blas  # noqa: F401, and its own
    import threadpoolctl

    found = {
        each["architecture"]
        for each in threadpoolctl.threadpool_info()
        if each["internal_api"] == "openblas"
    }
    return " and ".join(sorted(found))


def with_kernel(kernel: str) -> dict[str, str]:
    """This environment, in which OpenBLAS uses the kernel."""
    return os.environ | {VARIABLE: kernel}


def kernels_taken(kernel: str) -> str:
    """Return what OpenBLAS takes when it is asked for the kernel; it falls back where the
    processor cannot, and some names share their kernels."""
    asked = subprocess.run(
        [sys.executable, __file__], env=with_kernel(kernel), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return asked.stdout.strip()


if __name__ == "__main__":
    print(kernels_here())
