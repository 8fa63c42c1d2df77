"""The table of known differences: cases that the simulation does not pass, each with its reason.

The rule it keeps: a line is a strict expectation. A case of the table that passes fails the run, and so does a line
whose case does not exist; the table can only be true.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

TABLE = Path(__file__).parent.parent / "differences.toml"


def read(path: Path = TABLE) -> dict[str, str]:
    """Case (`file.py::test[id]`) → reason; ValueError on a line without one."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    wrong = [case for case, reason in found.items() if not isinstance(reason, str) or not reason.strip()]
    if wrong:
        raise ValueError(f"{path}: {wrong[0]}: expected the reason for the difference, a text")
    return found


def unknown(table: Mapping[str, str], cases: Iterable[str]) -> list[str]:
    """The lines whose case does not exist."""
    return sorted(set(table) - set(cases))
