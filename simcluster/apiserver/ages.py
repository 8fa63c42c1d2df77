"""How long ago something was, as `kubectl` shows it: 5s, 3m20s, 4h, 2d3h. Pure."""

from __future__ import annotations

from simcluster.registry import parse_time

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR = 365 * _DAY


def show_age(since: str | None, now: float) -> str:
    """Return the age of an instant, `<unknown>` if there is none."""
    return "<unknown>" if since is None else show_duration(now - parse_time(since))


def show_duration(seconds: float) -> str:
    """Return a duration in at most two units, coarser the longer it is."""
    # Source: k8s.io/apimachinery pkg/util/duration/duration.go HumanDuration.
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    if whole < 8 * _YEAR:
        return _two(whole, _YEAR, "y", _DAY, "d")
    return f"{whole // _YEAR}y"


def _two(whole: int, big: int, big_name: str, small: int, small_name: str) -> str:
    rest = whole % big // small
    return f"{whole // big}{big_name}" + (f"{rest}{small_name}" if rest else "")
