"""Resource quantities such as `250m` and `1Gi`, as far as `resourceFieldRef` needs them. Pure.

The rule it keeps (pkg/api/v1/resource/helpers.go): a value is divided by its divisor and rounded up.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

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
