"""Find out whether packages of the user's hide Lockstep's own ones."""

from __future__ import annotations

import os
from importlib.util import find_spec


def check_own_packages() -> None:
    """Raise ImportError, with one sentence, if Python finds another `core` or `search` than those
    beside this package."""
    beside = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    for name in ("core", "search"):
        found = find_spec(name)
        places = [] if found is None else found.submodule_search_locations or [found.origin or ""]
        place = os.path.realpath(next(iter(places), ""))
        if places and os.path.dirname(place) != beside:
            raise ImportError(
                f"{place} hides Lockstep's own package `{name}`, as {os.path.dirname(place)} comes "
                "first where Python looks for packages: rename yours, or run Python elsewhere"
            )
