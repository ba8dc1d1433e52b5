"""Show a study file as it is understood."""

from __future__ import annotations

from typing import Any

from search.spec.study_spec import StudySpec
from search.spec.toml_writer import toml
from search.spec.understood import understood
from search.wording import counted


def text(spec: StudySpec) -> str:
    """Return the study file, with a comment on what it comes to."""
    lines = [f"# {_origin(spec)}: {_size(spec)}"]
    if spec.search.pruner != "none":
        *rungs, _ = spec.search.rung_epochs(spec.model.epochs)
        lines.append(
            f"# One in {spec.search.reduction_factor} goes on after {', '.join(map(str, rungs))} "
            "epochs."
        )
    return "\n".join([*lines, "", toml(understood(spec)).rstrip("\n")])


def as_json(spec: StudySpec) -> dict[str, Any]:
    """Return what `--json` prints.

    set: the keys of the command line. trials, epochs: of the whole search, None if only time limits
    it. digest: of what decides the trials and their numbers.
    """
    return {
        "study": understood(spec),
        "file": str(spec.file),
        "set": list(spec.variant.given) if spec.variant else [],
        "trials": spec.budget,
        "digest": spec.digest(),
    }


def _origin(spec: StudySpec) -> str:
    """Return where the study comes from."""
    given = "".join(f" --set {each}" for each in spec.variant.given) if spec.variant else ""
    return f"{spec.file}{given}"


def _size(spec: StudySpec) -> str:
    """Return how much is trained."""
    each = counted(spec.model.epochs, "epoch")
    if spec.budget is None:
        return f"trials of {each}, until the time is up"
    return f"{counted(spec.budget, 'trial')} of {each}"
