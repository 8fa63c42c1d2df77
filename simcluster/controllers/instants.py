"""The one form of an instant that only controllers write: RFC 3339 to the nanosecond. Pure."""

from __future__ import annotations

from simcluster.registry import format_time


def format_nanoseconds(at: float) -> str:
    """Return `at` as Go's RFC3339Nano writes it: a fraction only where there is one, with no zeros at its end."""
    nanoseconds = round(at * 1e9)
    fraction = f"{nanoseconds % 1_000_000_000:09d}".rstrip("0")
    return format_time(nanoseconds // 1_000_000_000)[:-1] + (f".{fraction}" if fraction else "") + "Z"
