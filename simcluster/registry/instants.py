"""Instants as the API writes them: RFC 3339 in UTC, to the second or the microsecond. Pure."""

from __future__ import annotations

import datetime
from functools import lru_cache


def format_time(at: float) -> str:
    """Return seconds since the epoch as `metav1.Time`: whole seconds."""
    return _format(int(at))


# Thousands of objects are written within one second, and share the text.
@lru_cache(maxsize=64)
def _format(at: int) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """Return an RFC 3339 instant as seconds since the epoch; ValueError if it is none."""
    return datetime.datetime.fromisoformat(text).timestamp()
