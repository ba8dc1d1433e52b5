"""Of how many trials the weights are kept, which decides how much a study takes on disk."""

from __future__ import annotations

from search.spec.fields import MAX_TRIALS
from search.spec.study_spec import StudySpec

ROOM = 1 << 30  # bytes; so much may the weights of a study's trials take if it does not say
LEAST = 10  # of so many they are kept in any case: these are shown together


def weights_kept(spec: StudySpec, n_features: int, n_classes: int) -> int | None:
    """Return of how many of the best trials the weights are kept; None if of all.

    It is what the study file says in ``search.keep_weights``, but not fewer than the finalists. By
    default it is as many as take `ROOM`, and `LEAST` at least.

    n_features, n_classes: D and C, with which a trial has D C weights.
    """
    asked = spec.search.keep_weights
    if asked == "all":
        return None
    if asked is not None:
        return max(asked, spec.search.finalists)
    most = max(LEAST, spec.search.finalists, ROOM // size_of(spec, n_features, n_classes))
    return None if most >= (spec.budget or MAX_TRIALS) else most


def size_of(spec: StudySpec, n_features: int, n_classes: int) -> int:
    """Return the size of the weights that a trial keeps, in bytes: their mean and each fold's."""
    return 4 * n_features * n_classes * (1 + (spec.data.folds or 0))
