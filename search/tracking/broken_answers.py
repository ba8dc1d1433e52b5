"""Ask MLflow's server once more if its answer broke off.

MLflow's client asks again by itself as long as there is no answer. It does not if the answer has
begun, as when the server is killed while it sends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

ATTEMPTS = 3  # in all


def again_if_broken_off(ask: Callable[[], Value]) -> Value:
    """Return what ``ask`` returns; call it again if an answer to it broke off.

    ask: what can be done twice without harm. Raises what it raises otherwise, or at last.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import ChunkedEncodingError

    for more in reversed(range(ATTEMPTS)):
        try:
            return ask()
        except (MlflowException, ChunkedEncodingError) as error:
            # MLflow raises its own error while it handles that of requests.
            causes = (error, error.__cause__, error.__context__)
            broken_off = any(isinstance(each, ChunkedEncodingError) for each in causes)
            if not broken_off or not more:
                raise
    raise AssertionError  # the last attempt returns or raises
