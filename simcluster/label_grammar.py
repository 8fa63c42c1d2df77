"""The grammar of label selectors, such as `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Pure.

The rule it keeps: what does not fit is refused in the real words. It reads; what the conditions match is `selectors`'
part.

Source: k8s.io/apimachinery pkg/labels/selector.go.
"""

from __future__ import annotations

import re

from simcluster.errors import BadRequest, invalid
from simcluster.labels import complain_key, complain_value

# A key, an operator (one of in, notin, exists, !exists, gt, lt), and its values.
Condition = tuple[str, str, frozenset[str]]

_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>]+))")
_SYMBOLS = frozenset(["==", "!=", "=", "!", "(", ")", ",", "<", ">"])
_OPERATORS = {"in": "in", "notin": "notin", "=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class _Tokens:
    """The tokens of a selector, one after the other; the end reads as an empty one."""

    def __init__(self, text: str) -> None:
        found = [symbol if symbol else word for symbol, word in _TOKEN.findall(text)]
        self._left = found[::-1]

    def peek(self) -> str:
        """Return the next token and leave it."""
        return self._left[-1] if self._left else ""

    def take(self) -> str:
        """Return the next token."""
        return self._left.pop() if self._left else ""


def read_conditions(text: str) -> list[Condition]:
    """Return the conditions of a selector; BadRequest, in the real words, if it is none."""
    tokens = _Tokens(text)
    found: list[Condition] = []
    while tokens.peek():
        first = tokens.peek()
        if first in _SYMBOLS and first != "!":
            raise BadRequest(f"found '{first}', expected: !, identifier, or 'end of string'")
        found.append(_read_condition(tokens))
        separator = tokens.take()
        if separator not in ("", ","):
            raise BadRequest(f"found '{separator}', expected: ',' or 'end of string'")
        following = tokens.peek()
        if separator and (not following or (following in _SYMBOLS and following != "!")):
            raise BadRequest(f"found '{following}', expected: identifier after ','")
    return found


def _read_condition(tokens: _Tokens) -> Condition:
    is_absent = tokens.peek() == "!"
    if is_absent:
        tokens.take()
    key = tokens.take()
    if not key or key in _SYMBOLS:
        raise _complain(f"found '{key}', expected: identifier")
    wrong = complain_key(key)
    if wrong:
        raise _complain(f"<nil>: {invalid('', key, '; '.join(wrong)).message}")
    if tokens.peek() in ("", ",") or is_absent:
        return key, "!exists" if is_absent else "exists", frozenset()
    said = tokens.take()
    operator = _OPERATORS.get(said)
    if operator is None:
        raise _complain(f"found '{said}', expected: in, notin, =, ==, !=, gt, lt")
    values = _read_values(tokens) if said in ("in", "notin") else _read_value(tokens)
    _check_values(key, operator, values)
    return key, operator, values


def _read_value(tokens: _Tokens) -> frozenset[str]:
    if tokens.peek() in ("", ","):
        return frozenset([""])
    value = tokens.take()
    if value in _SYMBOLS:
        raise _complain(f"found '{value}', expected: identifier")
    return frozenset([value])


def _read_values(tokens: _Tokens) -> frozenset[str]:
    opening = tokens.take()
    if opening != "(":
        raise _complain(f"found '{opening}' expected: '('")
    if tokens.peek() not in (",", ")") and (not tokens.peek() or tokens.peek() in _SYMBOLS):
        raise _complain(f"found '{tokens.peek()}', expected: ',', ')' or identifier")
    values: set[str] = set()
    pending = ""
    while True:
        part = tokens.take()
        if part in (",", ")"):
            values.add(pending)
            pending = ""
            if part == ")":
                return frozenset(values)
        elif pending:
            raise _complain(f"found '{part}', expected: ',' or ')'")
        elif not part or part in _SYMBOLS:
            raise _complain(f"found '{part}', expected: ',', or identifier")
        else:
            pending = part


def _check_values(key: str, operator: str, values: frozenset[str]) -> None:
    wrong = []
    for index, value in enumerate(sorted(values)):
        if operator in ("gt", "lt") and _INTEGER.fullmatch(value) is None:
            fault = invalid(
                f"values[{index}]", value, "for 'Gt', 'Lt' operators, the value must be an integer"
            )
            wrong.append(fault)
    for index, value in enumerate(sorted(values)):
        texts = complain_value(value)
        if texts:
            wrong.append(invalid(f"values[{index}][{key}]", value, "; ".join(texts)))
    if wrong:
        said = [f"{each.field}: {each.message}" for each in wrong]
        raise _complain(said[0] if len(said) == 1 else f"[{', '.join(said)}]")


def _complain(why: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: {why}")
