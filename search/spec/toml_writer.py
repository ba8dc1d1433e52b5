"""Write the values of a study file as TOML, in the way in which people write them: a line a key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")  # a key that needs no quotes


def toml(table: Mapping[str, Any]) -> str:
    """Return a study file's tables as the text of one; keys whose value is None are left out.

    A table gets a heading if it stands at the top, or if all that it has are texts, as the files of
    features have; every other table stands in one line. Raises TypeError for a value that TOML
    does not have.
    """
    return "\n".join(_lines(table, "")).strip("\n") + "\n"


def in_line(value: Any) -> str:
    """Return a value as it stands behind a key. Raises TypeError if TOML has no such value."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            # JSON escapes what TOML escapes, and in the same way, besides DEL.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(in_line, value))}]"
        case Mapping():
            pairs = [f"{key_in_line(k)} = {in_line(v)}" for k, v in value.items() if v is not None]
            return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    raise TypeError(f"TOML has no value for {type(value).__name__}")


def key_in_line(key: str) -> str:
    """Return a key, in quotes if it needs them."""
    return key if _BARE.fullmatch(key) else in_line(key)


def _lines(table: Mapping[str, Any], heading: str) -> list[str]:
    """Return the lines of a table, with its own keys before its tables."""
    headed = {key: value for key, value in table.items() if _has_heading(value, heading)}
    lines = [
        f"{key_in_line(key)} = {in_line(value)}"
        for key, value in table.items()
        if key not in headed and value is not None
    ]
    for key, value in headed.items():
        name = f"{heading}.{key_in_line(key)}" if heading else key_in_line(key)
        lines += ["", f"[{name}]", *_lines(value, name)]
    return lines


def _has_heading(value: Any, heading: str) -> bool:
    """Return whether a value of the table with this heading gets a heading of its own."""
    if not isinstance(value, Mapping):
        return False
    texts = len(value) > 1 and all(isinstance(each, str) for each in value.values())
    return heading in ("", "study") or texts
