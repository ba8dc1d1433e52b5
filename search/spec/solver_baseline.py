"""The other form of the table [baseline]: a solver that chooses its own regularisation."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, model_validator

from search.spec.fields import Line, Table
from search.spec.messages import shortened

Features = Annotated[Line, Field(min_length=1)]  # the name of a set of features
SHOWN = 8  # the most names that a message lists


class SolverBaseline(Table):
    """The table [baseline] with a solver: scikit-learn's cross-validated logistic regression.

    features: the set of features that it is fitted to; None for that of the trial it is compared
        with, so that the two differ by the search alone.
    """

    solver: Literal["lbfgs"]
    features: Features | None = None

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, table: Any) -> Any:
        """Return the table unchanged. Raises ValueError if it has a key that excludes a solver."""
        known = cls.model_fields
        others = [key for key in table if key not in known] if isinstance(table, Mapping) else []
        if others:
            raise ValueError(
                f"solver = {shortened(table['solver'])} and {shortened(others[0])[1:-1]} exclude "
                "each other: give a solver alone, or learning_rate, weight_decay and batch_size"
            )
        return table


def check_known(features: str | None, known: Mapping[str, str] | None) -> None:
    """Raise ValueError if a baseline names a set of features that the data has not.

    known: the files of features by name, None if the data has one source.
    """
    if features is None or features in (known or ()):
        return
    if known is None:
        raise ValueError(
            f"baseline.features = {shortened(features)}: the data has a single set of features, "
            "which is data.source; leave features out"
        )
    close = get_close_matches(features, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    names = ", ".join(list(known)[:SHOWN]) + (", …" if len(known) > SHOWN else "")
    raise ValueError(f"baseline.features = {shortened(features)}: {hint}Known are {names}")


def _form(table: Any) -> str:
    """Return which of the two forms of [baseline] a table, or what stands in its place, has."""
    given = isinstance(table, SolverBaseline) or (isinstance(table, Mapping) and "solver" in table)
    return "with a solver" if given else "a configuration"


# Its values are the names of the forms in pydantic's paths to a mistake.
by_form = Discriminator(_form)
