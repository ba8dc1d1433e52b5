"""Tables for `lockstep init`, the studies that it writes for them, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from search.commands.init import Written, init
from search.commands.study_data import load_data
from search.console import Console
from search.errors import LockstepError
from search.settings import Settings
from search.spec.study_file import load
from search.spec.study_spec import StudySpec

KINDS = ["cat", "dog", "cow"] * 20


def silent(said: str) -> None:
    pytest.fail(said)


def written(file: Path | str, output: Path, **options: Any) -> Written:
    return init(str(file), Console(), output=output, **options)


def study(file: Path | str, output: Path, **options: Any) -> StudySpec:
    """The study of the file that was written, whose data can be divided as it says."""
    written(file, output, **options)
    spec = load(output)
    load_data(spec, Settings(), silent)
    return spec


def frame(n: int = 60, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    numbers = {name: rng.normal(size=n) for name in ("height", "width")}
    return pd.DataFrame({**numbers, **columns})


def table(folder: Path, name: str = "my.csv", **columns: Any) -> Path:
    path = folder / name
    frame(**columns).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def refusal(file: Path | str, output: Path, **options: Any) -> str:
    """The one sentence that a mistake gets; no file is left behind."""
    there = set(output.parent.iterdir())
    with pytest.raises(LockstepError) as caught:
        written(file, output, **options)
    assert set(output.parent.iterdir()) == there
    message = str(caught.value)
    assert message.isprintable()
    return message
