"""Redaction: how a URL may be shown, in messages, listings and logs. It rather hides too much."""

from __future__ import annotations

import re
from typing import Final

_CREDENTIALS: Final = re.compile(r"^([a-z][a-z0-9+.-]*:(//)?)?.*@", re.IGNORECASE | re.DOTALL)
_SECRETS: Final = re.compile(
    r"([?&][^=&#]*(?:password|passwd|passphrase|secret|token)[^=&#]*=)[^&#]*", re.IGNORECASE
)


def redacted(url: str) -> str:
    """Return *url* as it may be shown: without user and password, however badly they are quoted."""
    if url.startswith("sqlite:"):
        # a file has none, and its path may hold an @
        return url
    return _SECRETS.sub(r"\1***", _CREDENTIALS.sub(r"\1", url))
