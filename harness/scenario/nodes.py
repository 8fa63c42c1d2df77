"""YAML with places.

Mappings and lists that know the line each value stands on, and refuse what they were not asked for.

Rule: every value is fetched by a typed getter, and every refusal names file, line, what was found and what
was allowed. Only plain data is composed (the safe loader); nothing in a file can name a Python object. It
does not know what a scenario is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from harness.errors import ScenarioError, located, suggest

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Value:
    """One node of the file, its line, and its place in the scenario (`step 3`, `load`) for messages."""

    path: str
    node: yaml.Node
    place: str

    @property
    def line(self) -> int:
        """Line in the file, from 1."""
        return int(self.node.start_mark.line) + 1

    def refuse(self, message: str, hints: Iterable[str] = (), *, line: int | None = None) -> ScenarioError:
        """The error for this value, to be raised by the caller."""
        text = f"{self.place}: {message}" if self.place else message
        return ScenarioError(located(self.path, self.line if line is None else line, text, hints))

    def plain(self) -> Any:
        """The value as plain Python data."""
        try:
            return _plain(self.node)
        except yaml.YAMLError:
            raise self.refuse(
                f"the tag {self.node.tag} is not read here", ["write plain YAML, without tags"]
            ) from None

    def named(self, place: str) -> Value:
        """The same value under another name in messages."""
        return Value(self.path, self.node, place)

    def mapping(self, expected: str = "mapping") -> Mapping:
        """This value as a mapping; `expected` is what the refusal asks for."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.refuse(f"a {expected} was expected, not {self._shown()}")
        return Mapping(self)

    def items(self) -> list[Value]:
        """The entries of this value as a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.refuse(f"a list was expected, not {self._shown()}")
        return [Value(self.path, entry, self.place) for entry in self.node.value]

    @property
    def is_mapping(self) -> bool:
        """Whether this is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether this is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    def text(self) -> str:
        """This value as a text; a number or a word such as `yes` must be quoted."""
        found = self.plain()
        if not isinstance(found, str) or not found:
            raise self.refuse(f"a text was expected, not {self._shown()}")
        return found

    def texts(self) -> list[str]:
        """One text, or a list of them, as a list."""
        return [entry.text() for entry in self.items()] if self.is_list else [self.text()]

    def choice(self, known: Iterable[str], *, what: str) -> str:
        """One word of a few."""
        found = self.text()
        names = list(known)
        if found not in names:
            raise self.refuse(f'unknown {what} "{found}"', suggest(found, names, what=_plural(what)))
        return found

    def whole(self, *, minimum: int = 0) -> int:
        """A whole number from `minimum`."""
        found = self.plain()
        if isinstance(found, bool) or not isinstance(found, int):
            raise self.refuse(f"a whole number was expected, not {self._shown()}")
        if found < minimum:
            raise self.refuse(f"{found} is too small; the least is {minimum}")
        return found

    def number(self, *, above: float = 0.0, up_to: float | None = None) -> float:
        """A number above `above` and not more than `up_to`."""
        found = self.plain()
        if isinstance(found, str):  # YAML 1.1 reads 1e-6 (no dot) as a text; nobody who writes it means one
            try:
                found = float(found)
            except ValueError:
                found = None
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.refuse(f"a number was expected, not {self._shown()}")
        if found <= above or (up_to is not None and found > up_to):
            top = "" if up_to is None else f" and at most {up_to:g}"
            raise self.refuse(f"{found:g} is out of range; it must be above {above:g}{top}")
        return float(found)

    def duration_s(self) -> float:
        """A duration such as 500ms, 8s or 2m, in seconds."""
        found = self.plain()
        match = _DURATION.fullmatch(found) if isinstance(found, str) else None
        if match is None:
            raise self.refuse(
                f"a duration was expected, not {self._shown()}", ["a duration has a unit: 500ms, 8s, 2m, 1h"]
            )
        return float(match[1]) * _UNITS[match[2]]

    def rate_per_s(self) -> float:
        """A rate such as 50/s or 30/m, in calls a second; above zero."""
        found = self.plain()
        match = _RATE.fullmatch(found) if isinstance(found, str) else None
        if match is None or float(match[1]) == 0:
            raise self.refuse(
                f"a rate was expected, not {self._shown()}", ["a rate is calls in a time: 50/s, 30/m"]
            )
        return float(match[1]) / _UNITS[match[2]]

    def share(self) -> float:
        """A share from 0 to 1, written 0.05 or 5%."""
        found = self.plain()
        match = _PERCENT.fullmatch(found) if isinstance(found, str) else None
        if match is not None:
            found = float(match[1]) / 100
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
            raise self.refuse(
                f"a share was expected, not {self._shown()}",
                ["a share is from 0 to 1 or a percentage: 0.05, 5%"],
            )
        return float(found)

    def _shown(self) -> str:
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        found = self.plain()
        return "nothing" if found is None else f'"{found}"' if isinstance(found, str) else f"{found!r}"


class Mapping:
    """A mapping of the file. Keys are fetched with `get` and `need`; `only` refuses all others."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self._entries: dict[str, Value] = {}
        self._lines: dict[str, int] = {}
        for key_node, node in value.node.value:
            key = Value(value.path, key_node, value.place).plain()
            line = int(key_node.start_mark.line) + 1
            if not isinstance(key, str):
                raise value.refuse(f"a key must be a text, not {key!r}", line=line)
            if key in self._entries:
                raise value.refuse(f'"{key}" stands here twice (first on line {self._lines[key]})', line=line)
            self._lines[key] = line
            self._entries[key] = Value(value.path, node, f"{value.place}: {key}" if value.place else key)

    def only(self, known: Iterable[str], *, what: str, beside: Iterable[str] = ()) -> Mapping:
        """Refuse any key that is neither known nor may stand `beside` those."""
        names, others = list(known), set(beside)
        for key, line in self._lines.items():
            if key not in names and key not in others:
                raise self.value.refuse(
                    f'unknown {what} "{key}"', suggest(key, names, what=_plural(what)), line=line
                )
        return self

    def get(self, key: str) -> Value | None:
        """The value of a key; None where it is not there or empty."""
        found = self._entries.get(key)
        return None if found is None or found.plain() is None else found

    def need(self, key: str, example: str) -> Value:
        """The value of a key that must be there."""
        found = self.get(key)
        if found is None:
            raise self.value.refuse(f'"{key}" is missing', [f"for example  {key}: {example}"])
        return found

    def keys(self) -> list[str]:
        """The keys, in the order of the file."""
        return list(self._entries)

    def entries(self) -> list[tuple[str, Value]]:
        """Keys and values, in the order of the file."""
        return list(self._entries.items())

    def line_of(self, key: str) -> int:
        """The line on which a key stands."""
        return self._lines[key]


def compose(text: str, path: str) -> Value:
    """The one document of a YAML text.

    Raises ScenarioError where it is not YAML, is empty or holds more than one document.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else int(mark.line) + 1
        raise ScenarioError(located(path, line, f"not YAML: {error.problem or error.context}")) from None
    except yaml.YAMLError as error:
        raise ScenarioError(located(path, None, f"not YAML: {error}")) from None
    if node is None:
        raise ScenarioError(
            located(
                path,
                1,
                "the file is empty",
                ["a scenario has variants, steps and expect; see docs/scenarios.md"],
            )
        )
    return Value(path, node, "")


def _plain(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _plural(what: str) -> str:
    return what[:-1] + "ies" if what.endswith("y") else what + "s"
