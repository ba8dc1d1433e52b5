"""Compare trials with the best one, example by example.

Notation: K trials, M validation examples; the best trial is in row 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.statistics.paired import (
    Means,
    differences,
    holm,
    mcnemar_tests,
    means,
    negligible,
    t_test,
)
from search.spec.objective import Objective

LEVEL = 0.05  # of significance, after Holm's adjustment


class AgainstBest(NamedTuple):
    """The differences of K trials from the best one.

    difference: by how much their scores are worse, and the standard errors of that.
    p_values: those of the differences, (K,), adjusted by Holm's method; 1 for the best itself.
    negligible: whether a difference is too small to matter, (K,).
    """

    difference: Means
    p_values: npt.NDArray[np.float64]
    negligible: npt.NDArray[np.bool_]


def against_best(
    S: npt.NDArray[Any], errors: npt.NDArray[np.bool_], objective: Objective
) -> AgainstBest:
    """Return how the trials compare with the first one.

    S: their scores on each example, (K, M), lower is better. errors: (K, M), whether an example is
    classified wrongly.

    Accuracies are compared by McNemar's test, other scores by Student's paired t test. Raises
    ValueError unless M >= 2.
    """
    difference = differences(S)
    if objective is Objective.ACCURACY:
        p_values = mcnemar_tests(errors)
    else:
        p_values = t_test(difference, S.shape[1])
    none = negligible(difference, means(S[:1]).standard_error[0])
    p_values[none] = 1.0
    # The best is not compared with itself.
    p_values[1:] = holm(p_values[1:])
    p_values[0] = 1.0
    return AgainstBest(difference, p_values, none)


def name_of_tests(objective: Objective) -> str:
    """Return the name of the tests by which trials are compared with the best one."""
    return "McNemar's tests" if objective is Objective.ACCURACY else "paired t tests"
