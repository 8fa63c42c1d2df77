"""Values in the query of a URL. Pure.

Source: k8s.io/apimachinery pkg/runtime/conversion.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from simcluster.errors import BadRequest


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """Return a boolean of a query: false where it is absent, `0` or `false`, else true, whatever it says."""
    said = query.get(name)
    return said is not None and said != "0" and said.lower() != "false"


def read_integer(query: Mapping[str, str], name: str) -> int | None:
    """Return an integer of a query, None if it is not given; BadRequest if it is none."""
    said = query.get(name, "")
    if not said:
        return None
    digits = said.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise BadRequest(f'strconv.ParseInt: parsing "{said}": invalid syntax')
    return int(said)
