"""What a body says twice is found, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.apiserver.strictness import find_complaints

values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["a", '":', '{"x":', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", '"', "b:"]), inner),
)


@given(values, st.booleans())
def test_a_body_that_says_nothing_twice_is_not_complained_of(value: Any, spaced: bool) -> None:
    """However its texts look and however it is spaced."""
    body = json.dumps({"x": value}, indent=2 if spaced else None, separators=(" ,", " : ")).encode()

    for form in ("json", "patch", "yaml"):
        assert find_complaints(body, json.loads(body), form, "Strict") == ()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a":1,"a":2}', ('duplicate field "a"',)),
        (b'{"a":[{"b":1,"b":2,"b":3}]}', ('duplicate field "a[0].b"', 'duplicate field "a[0].b"')),
        (b'{"a":{"b":1,"b":{"c":1}},"a":{"b":1}}', ('duplicate field "a.b"', 'duplicate field "a"')),
        (b'{"a" : "\\":" , "a" :1}', ('duplicate field "a"',)),
    ],
)
def test_what_is_said_twice_is_named_with_its_place(body: bytes, found: tuple[str, ...]) -> None:
    """In the order of the body, once for each repetition; not where it is to be ignored."""
    value = orjson.loads(body)

    assert find_complaints(body, value, "json", "Warn") == found
    assert find_complaints(body, value, "json", "Ignore") == ()


def test_yaml_is_complained_of_by_line() -> None:
    """Line for line in warnings; as one text where it is refused."""
    body = b"a:\n  b: 1\n  b: 2\nc: [{d: 1, d: 2}]\n"

    lines = ('line 3: key "b" already set in map', 'line 4: key "d" already set in map')
    assert find_complaints(body, None, "yaml", "Warn") == lines
    assert find_complaints(body, None, "yaml", "Strict") == (
        f"yaml: unmarshal errors:\n  {lines[0]}\n  {lines[1]}",
    )


def test_operations_of_a_json_patch_have_no_other_members() -> None:
    """What is unknown in an operation is told as well."""
    body = b'[{"op":"add","path":"/a","value":1,"foo":1},{"op":"test","op":"add"}]'

    assert find_complaints(body, orjson.loads(body), "json patch", "Warn") == (
        'json patch unknown field "[0].foo"',
        'json patch duplicate field "[1].op"',
    )
