"""Where a text is not base64 as Go reads it: line breaks are passed over, padding must be there. Pure.

Source: Go's encoding/base64 (decodeQuantum), whose position of the fault stands in the API's errors.
"""

from __future__ import annotations

import string

_LETTERS = frozenset(string.ascii_letters + string.digits + "+/")
_QUANTUM = 4


def find_fault(text: str) -> int | None:
    """Return the position (in bytes) that Go complains about, or None if the text is base64."""
    data = [(index, letter) for index, letter in enumerate(text) if letter not in "\r\n"]
    for begin in range(0, len(data), _QUANTUM):
        quantum = data[begin : begin + _QUANTUM]
        for place, (index, letter) in enumerate(quantum):
            if letter in _LETTERS:
                continue
            if letter != "=" or place < 2:
                return index
            return _find_after_padding(data, begin, place, len(text))
        if len(quantum) < _QUANTUM:
            return len(text) - len(quantum)
    return None


def _find_after_padding(data: list[tuple[int, str]], begin: int, place: int, length: int) -> int | None:
    """Return what is wrong from the first `=` of a quantum on."""
    after = begin + place + 1
    if place == 2:
        if after == len(data):
            return length
        if data[after][1] != "=":
            return data[after][0] - 1
        after += 1
    return None if after == len(data) else data[after][0]
