"""Remove passwords from URLs and messages before they are printed."""

from __future__ import annotations

import re
from urllib.parse import unquote

_BEFORE_HOST = re.compile(r"(://[^:/@]*:)(.*)@")
_IN_QUERY = re.compile(r"(?i)((?:^|&)[^=&]*(?:password|passwd|secret|token)[^=&]*=)([^&]*)")


def redacted(url: str) -> str:
    """Return a URL with its password replaced by ***; a path is returned as it is."""
    address, mark, query = _BEFORE_HOST.sub(r"\1***@", url).partition("?")
    return address + mark + (_IN_QUERY.sub(r"\1***", query) if "://" in address else query)


def hidden(text: str, *urls: str) -> str:
    """Return a text with the passwords of these URLs, encoded or decoded, replaced by ***."""
    for url in urls:
        found = [password for _, password in _BEFORE_HOST.findall(url)]
        if "://" in url:
            found += [password for _, password in _IN_QUERY.findall(url.partition("?")[2])]
        for password in {variant for each in found for variant in (each, unquote(each)) if variant}:
            text = text.replace(password, "***")
    return text
