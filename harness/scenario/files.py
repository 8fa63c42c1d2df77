"""Opening scenario files. The one module of this package that touches a disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import ScenarioError, located
from harness.scenario.reader import parse
from harness.scenario.story import Scenario


def load(path: Path, variants: Sequence[str] | None = None) -> Scenario | None:
    """The scenario of a file, with the chosen variants alone; None where it has none of them.

    Raises ScenarioError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(located(str(path), None, f"can not be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ScenarioError(located(str(path), line, "not text", ["a scenario is YAML in UTF-8"])) from None
    scenario = parse(text, path)
    if variants is None:
        return scenario
    chosen = scenario.only(variants)
    return chosen if chosen.variants else None
