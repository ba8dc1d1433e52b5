"""Remove passwords from URLs and messages before they are printed."""

from __future__ import annotations

import re
from urllib.parse import unquote


def redacted(url: str) -> str:
    """Return a URL with its password replaced by ***."""
    url = re.sub(r"(://[^:/@]*:).*@", r"\1***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|passwd|secret|token)[^=&]*=)[^&]*", r"\1***", url)


def hidden(text: str, *urls: str) -> str:
    """Return a text with the passwords of these URLs, encoded or decoded, replaced by ***."""
    for url in urls:
        found = re.findall(r"://[^:/@]*:(.*)@", url)
        found += re.findall(r"(?i)[?&][^=&]*(?:password|passwd|secret|token)[^=&]*=([^&]*)", url)
        for password in {variant for each in found for variant in (each, unquote(each)) if variant}:
            text = text.replace(password, "***")
    return text
