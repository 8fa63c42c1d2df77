"""Sets of fields: the algebra against Python's own sets of paths, and the form that clients see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.patches.fieldset import (
    MEMBER,
    Fields,
    intersect,
    key_element,
    list_paths,
    read_fields,
    subtract,
    unite,
    value_element,
    without,
)
from simcluster.patches.ownership import share

Paths = frozenset[tuple[str, ...]]
elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"c"}', 'v:"x"'])
paths: st.SearchStrategy[Paths] = st.frozensets(
    st.lists(elements, min_size=1, max_size=3).map(tuple), max_size=8
)


def make(members: Paths) -> Fields:
    """The set of these paths, put together one by one."""
    root: Fields = {}
    for path in sorted(members, key=len):
        node = root
        for element in path[:-1]:
            node = node.setdefault(element, {})
        node.setdefault(path[-1], {})
    return mark(root, members, ())


def mark(node: Fields, members: Paths, at: tuple[str, ...]) -> Fields:
    marked = {element: mark(child, members, (*at, element)) for element, child in node.items()}
    return {MEMBER: {}, **marked} if marked and at in members else marked


def unmake(fields: Fields, at: tuple[str, ...] = ()) -> Paths:
    found: set[tuple[str, ...]] = set()
    for element, node in fields.items():
        if element == MEMBER:
            continue
        path = (*at, element)
        if not node or MEMBER in node:
            found.add(path)
        found |= unmake(node, path)
    return frozenset(found)


@given(paths, paths)
def test_the_algebra_is_that_of_sets_of_paths(one: Paths, other: Paths) -> None:
    """Union, difference and intersection of trees are those of the paths that they stand for."""
    assert unmake(unite(make(one), make(other))) == one | other
    assert unmake(subtract(make(one), make(other))) == one - other
    assert unmake(intersect(make(one), make(other))) == one & other


@given(paths, paths)
def test_without_takes_all_that_lies_below(one: Paths, dropped: Paths) -> None:
    """What begins with a dropped path goes with it."""
    kept = frozenset(path for path in one if not any(path[: len(cut)] == cut for cut in dropped))

    assert unmake(without(make(one), make(dropped))) == kept


@given(paths, paths)
def test_a_set_has_one_form(one: Paths, other: Paths) -> None:
    """Two ways to the same set give the same tree, whatever was in between."""
    grown = subtract(unite(make(one), make(other)), make(other - one))

    assert grown == make(one)
    assert read_fields(grown) == make(one)


@given(paths)
def test_what_is_written_is_read_back(members: Paths) -> None:
    """A set goes through FieldsV1 unchanged."""
    assert unmake(read_fields(make(members))) == members


def test_nothing_in_common_leaves_the_same_object() -> None:
    """A set that loses nothing is not copied: sets are shared between many objects."""
    held = {"f:spec": {"f:replicas": {}}}

    assert subtract(held, {"f:spec": {"f:paused": {}}}) is held


@pytest.mark.parametrize("sent", ["x", {"f:a": 1}, {"a": {}}, {"k:{": {}}, {"f:a": {"x:b": {}}}])
def test_what_is_no_set_of_fields_is_refused(sent: Any) -> None:
    """A client's FieldsV1 is read as such, or not at all."""
    with pytest.raises(ValueError, match=r"object|element|Expecting"):
        read_fields(sent)


def test_paths_are_shown_as_errors_show_them() -> None:
    """Members of a level come before what lies below; keys and values stand in brackets."""
    fields = {
        "f:b": {"f:c": {}},
        "f:z": {},
        "f:list": {key_element({"protocol": "TCP", "containerPort": 80}): {MEMBER: {}, "f:name": {}}},
        "f:set": {value_element("x"): {}},
    }

    assert list(list_paths(fields)) == [
        ".z",
        ".b.c",
        '.list[containerPort=80,protocol="TCP"]',
        '.list[containerPort=80,protocol="TCP"].name',
        '.set[="x"]',
    ]


def test_sets_of_one_content_are_one_object_and_others_share_their_parts() -> None:
    """Two pods' sets differ in an address only: all but the way to it is held once."""

    def fields(address: str) -> Fields:
        ips = {".": {}, f'k:{{"ip":"{address}"}}': {".": {}, "f:ip": {}}}
        conditions = {
            f'k:{{"type":"{kind}"}}': {".": {}, "f:status": {}, "f:type": {}} for kind in ("Ready", "Other")
        }
        return {"f:status": {"f:conditions": conditions, "f:podIPs": ips}}

    one, same, other = share(fields("10.0.0.1")), share(fields("10.0.0.1")), share(fields("10.0.0.2"))
    assert one == fields("10.0.0.1")
    assert one is same
    assert one != other
    assert one["f:status"]["f:conditions"] is other["f:status"]["f:conditions"]


@given(
    st.dictionaries(
        st.sampled_from(["name", "ip", "protocol"]), st.text() | st.booleans() | st.integers(), min_size=1
    )
)
def test_the_keys_of_an_element_are_written_as_compact_sorted_json(values: dict[str, Any]) -> None:
    """Whatever the values hold, and however large a number is."""
    written = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert key_element(values) == f"k:{written}"
