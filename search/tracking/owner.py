"""The tags that say whose an experiment, a registered model or a version of it is."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from search.redact import redacted
from search.settings import Settings
from search.tracking.names import OWNER_TAG, STUDY_TAG
from search.trials.identity import Identity


def owner_tags(identity: Identity, settings: Settings | None = None) -> dict[str, str]:
    """Return the tags of what belongs to a study: its identity, and, for people, where it is.

    Only the identity decides. The place is that of the last driver: its storage, if one is named,
    its home and its machine. settings: None to leave the place out.
    """
    tags = {} if identity.study_id is None else {STUDY_TAG: identity.study_id}
    if settings is None:
        return tags
    place = f"{settings.place} on {socket.gethostname()}"
    if settings.storage is not None:
        place = f"{redacted(settings.storage)} (home {place})"
    return tags | {OWNER_TAG: place}


def owner_in_words(tags: Mapping[str, str]) -> str:
    """Return whose something is that has the tags of another study."""
    return f"belongs to another study of that name, in {tags.get(OWNER_TAG, 'an unknown place')}"
