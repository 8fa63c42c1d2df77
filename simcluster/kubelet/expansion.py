"""`$(NAME)` in commands, arguments and environment values, as Kubernetes expands it. Pure.

The rule it keeps (third_party/forked/golang/expansion): a known name is replaced by its value, an unknown one
stays as it is written, `$$` is one dollar sign, and what was put in is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with all references to `values` replaced."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        return values.get(name, match.group(0))

    return _REFERENCE.sub(replace, text)
