"""The other form of the table [baseline]: a solver that chooses its own regularisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Discriminator, model_validator

from search.spec.fields import Table
from search.spec.messages import shortened


class SolverBaseline(Table):
    """The table [baseline] with a solver: scikit-learn's cross-validated logistic regression."""

    solver: Literal["lbfgs"]

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, table: Any) -> Any:
        """Return the table unchanged. Raises ValueError if it has another key than the solver."""
        others = [key for key in table if key != "solver"] if isinstance(table, Mapping) else []
        if others:
            raise ValueError(
                f"solver = {shortened(table['solver'])} and {shortened(others[0])[1:-1]} exclude "
                "each other: give a solver alone, or learning_rate, weight_decay and batch_size"
            )
        return table


def _form(table: Any) -> str:
    """Return which of the two forms of [baseline] a table, or what stands in its place, has."""
    given = isinstance(table, SolverBaseline) or (isinstance(table, Mapping) and "solver" in table)
    return "with a solver" if given else "a configuration"


# Its values are the names of the forms in pydantic's paths to a mistake.
by_form = Discriminator(_form)
