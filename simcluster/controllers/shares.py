"""A number of pods that is given as a count or as a percentage of all of them: pure arithmetic.

The rule it keeps: a percentage rounds the way that its field says, up or down, in whole numbers. Source:
k8s.io/apimachinery pkg/util/intstr (GetScaledValueFromIntOrPercent).
"""

from __future__ import annotations


def resolve_share(given: int | str, total: int, *, up: bool) -> int:
    """Turn a count, or a percentage of `total`, into pods; ValueError if a text is not a percentage."""
    if isinstance(given, int):
        return given
    if not (given.endswith("%") and given[:-1].isdecimal()):
        raise ValueError(
            f'"{given}" is not a percentage\n  allowed: a number of pods, or a text such as "25%"'
        )
    hundredths = total * int(given[:-1])
    return -(-hundredths // 100) if up else hundredths // 100
