"""What is told of a study file that must not load."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.errors import StudyFileError
from search.spec.study_file import load


def refusal(path: Path) -> str:
    """Return the message of a study file that must not load: one sentence of a readable length."""
    with pytest.raises(StudyFileError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert len(message) < len(str(path)) + 300
    return message
