"""URLs and messages without their passwords, fit to be printed."""

from __future__ import annotations

import re
from urllib.parse import unquote


def redacted(url: str) -> str:
    """A URL without its password, fit to be printed."""
    url = re.sub(r"(://[^:/@]*:).*@", r"\1***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|passwd|secret|token)[^=&]*=)[^&]*", r"\1***", url)


def hidden(text: str, *urls: str) -> str:
    """What a library said, without the passwords of these URLs, as written or decoded."""
    for url in urls:
        found = re.findall(r"://[^:/@]*:(.*)@", url)
        found += re.findall(r"(?i)[?&][^=&]*(?:password|passwd|secret|token)[^=&]*=([^&]*)", url)
        for password in {variant for each in found for variant in (each, unquote(each)) if variant}:
            text = text.replace(password, "***")
    return text
