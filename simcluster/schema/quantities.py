"""Resource quantities such as `250m` and `1Gi`: what they are worth, and how they are written. Pure.

The rules it keeps: a value is divided by its divisor and rounded up (pkg/api/v1/resource/helpers.go); a quantity is
stored in one form (k8s.io/apimachinery pkg/api/resource/quantity.go).
"""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction

# Values up to this many units, rounded up, are compared in thousandths.
MOST_IN_THOUSANDTHS = (2**63 - 1) // 1000
_SUFFIXES = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1)}
_SUFFIXES |= {
    suffix: Fraction(1000 ** (power + 1)) for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"))
}
_SUFFIXES |= {
    suffix: Fraction(1024 ** (power + 1)) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]i?|Ki|))")


def parse(text: str) -> Fraction:
    """The quantity as a number; ValueError if it is none."""
    match = _FORM.fullmatch(text.strip())
    suffix = None if match is None else match.group(3)
    if match is None or (suffix is not None and suffix not in _SUFFIXES):
        raise ValueError(f'"{text}" is not a quantity such as 250m, 1.5 or 2Gi')
    number = Fraction(match.group(1))
    if match.group(2):
        return number * Fraction(10) ** int(match.group(2)[1:])
    return number * _SUFFIXES[suffix if suffix is not None else ""]


def divide(value: str, divisor: str | None) -> str:
    """`value` in units of `divisor` (absent and zero mean one), rounded up, as text."""
    unit = parse(divisor) if divisor else Fraction(1)
    return str(math.ceil(parse(value) / (unit if unit else 1)))


_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


@functools.lru_cache(maxsize=4096)
def shorten(text: str) -> str:
    """Return a quantity as the API server writes it: the largest unit that leaves a whole number.

    `0.5` is `500m`, `1000m` is `1`, `1536Mi` stays and `1024Ki` is `1Mi`; ValueError if it is no quantity.
    """
    return _write(parse(text), text)


def add(one: str, other: str) -> str:
    """Return the sum of two quantities, written as the first is; as the second, if the first is nothing."""
    first, second = parse(one), parse(other)
    return _write(first + second, one if first else other)


def _write(value: Fraction, like: str) -> str:
    """Write a value with the family of units that a quantity has."""
    match = _FORM.fullmatch(like.strip())
    suffix = "" if match is None else match.group(3)
    if match is not None and match.group(2):
        return _shorten_exponent(value)
    if suffix and suffix.endswith("i") and value.denominator == 1 and abs(value) >= 1024:
        number, power = value.numerator, 0
        while number % 1024 == 0 and power < len(_BINARY) - 1:
            number, power = number // 1024, power + 1
        return f"{number}{_BINARY[power]}"
    # Nothing is finer than a billionth: the rest is rounded up.
    number, power = math.ceil(value * 10**9), 0
    while number and number % 1000 == 0 and power < len(_DECIMAL) - 1:
        number, power = number // 1000, power + 1
    return f"{number}{_DECIMAL[power]}" if number else "0"


def _shorten_exponent(value: Fraction) -> str:
    number, power = math.ceil(value * 10**9), -9
    while number and number % 1000 == 0:
        number, power = number // 1000, power + 3
    return f"{number}e{power}" if number and power else str(number)
