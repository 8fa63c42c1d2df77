"""The patch formats: examples of their specifications, and the laws that they keep."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.errors import BadRequest, StatusError
from simcluster.patches import (
    apply_json_patch,
    apply_merge_patch,
    apply_patch,
    apply_strategic_patch,
    misread,
)
from simcluster.schema import Type, load

CATALOGUE = load()
DEPLOYMENT = CATALOGUE.resources["deployments.apps"].type
SERVICE = CATALOGUE.resources["services"].type

plain = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4)
documents = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_does_what_rfc_7386_shows(target: Any, patch: Any, expected: Any) -> None:
    """The examples of the RFC's appendix."""
    assert apply_merge_patch(target, patch) == expected


@given(documents, documents)
def test_merging_twice_is_merging_once(target: Any, patch: Any) -> None:
    """A merge patch is idempotent, and leaves what it was given alone."""
    before = copy.deepcopy(target)
    once = apply_merge_patch(target, patch)

    assert apply_merge_patch(once, patch) == once
    assert target == before


@pytest.mark.parametrize(
    ("target", "operations", "expected"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/-", "value": ["b"]}], {"foo": ["a", ["b"]]}),
        ({"baz": 1, "foo": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 2}),
        ({"foo": [1, 2, 3]}, [{"op": "remove", "path": "/foo/1"}], {"foo": [1, 3]}),
        ({"baz": 1}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        ({"a": [1, 2]}, [{"op": "replace", "path": "/a/0", "value": 9}], {"a": [9, 2]}),
        (
            {"a": {"b": 1}, "c": {}},
            [{"op": "move", "from": "/a/b", "path": "/c/d"}],
            {"a": {}, "c": {"d": 1}},
        ),
        ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
        ({"a": {"b": [1]}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": [1]}, "c": {"b": [1]}}),
        ({"a/b": 1, "m~n": 2}, [{"op": "replace", "path": "/a~1b", "value": 3}], {"a/b": 3, "m~n": 2}),
        ({"a/b": 1, "m~n": 2}, [{"op": "test", "path": "/m~0n", "value": 2}], {"a/b": 1, "m~n": 2}),
        ({"a": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
    ],
)
def test_json_patch_does_what_rfc_6902_shows(target: Any, operations: Any, expected: Any) -> None:
    """The examples of the RFC, each operation on objects and lists."""
    assert apply_json_patch(target, operations) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "test", "path": "/flag", "value": 1},
        {"op": "remove", "path": "/absent"},
        {"op": "replace", "path": "/list/5", "value": 1},
        {"op": "add", "path": "/absent/b", "value": 1},
        {"op": "add", "path": "/list/5", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "move", "from": "/list", "path": "/list/0"},
        {"op": "frobnicate", "path": "/a"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused_as_a_whole(operation: dict[str, Any]) -> None:
    """422, and what came before it in the same patch is not done either."""
    target = {"a": 1, "flag": True, "list": [1]}
    before = copy.deepcopy(target)

    with pytest.raises(StatusError) as caught:
        apply_json_patch(target, [{"op": "add", "path": "/b", "value": 1}, operation])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert caught.value.message == "the server rejected our request due to an error in our request"
    assert target == before


def test_replacing_what_an_object_has_not_adds_it() -> None:
    """A real server's patch library does not ask whether the key is there."""
    assert apply_json_patch({}, [{"op": "replace", "path": "/absent", "value": 1}]) == {"absent": 1}


def test_what_is_no_json_patch_is_a_bad_request() -> None:
    """400 for something else than a list of operations with pointers; 413 for too many."""
    for patch in (
        {"op": "add"},
        ["add"],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a"}],
    ):
        with pytest.raises(BadRequest, match=r"^error decoding patch: "):
            apply_json_patch({}, patch)
    with pytest.raises(StatusError, match="maximum operations in a JSON patch is 10000, got 10001"):
        apply_json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 10_001)


@given(documents, st.dictionaries(st.text(max_size=3), documents, max_size=3))
def test_adding_and_removing_gives_back_what_was(value: Any, target: dict[str, Any]) -> None:
    """A JSON patch that adds a new key and removes it again changes nothing."""
    operations = [{"op": "add", "path": "/new-key", "value": value}, {"op": "remove", "path": "/new-key"}]

    assert apply_json_patch(target, operations) == target


def containers(*names: str, **more: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": name, **more} for name in names]}}}}


def listed(obj: dict[str, Any]) -> list[Any]:
    return list(obj["spec"]["template"]["spec"]["containers"])


def strategic(target: dict[str, Any], patch: Any, type_: Type = DEPLOYMENT) -> dict[str, Any]:
    return apply_strategic_patch(target, patch, type_)


def test_containers_are_merged_by_name() -> None:
    """One container of two is changed, the other stays; a merge patch would drop it."""
    target = containers("a", "b", image="old")
    patch = containers("b", image="new")

    assert listed(strategic(target, patch)) == [{"name": "a", "image": "old"}, {"name": "b", "image": "new"}]
    assert listed(apply_merge_patch(target, patch)) == [{"name": "b", "image": "new"}]


def test_a_new_container_is_appended_and_one_marked_for_deletion_goes() -> None:
    """`$patch: delete` removes by merge key; what is not there yet is added."""
    patch = {
        "spec": {"template": {"spec": {"containers": [{"name": "a", "$patch": "delete"}, {"name": "c"}]}}}
    }

    assert listed(strategic(containers("a", "b"), patch)) == [{"name": "b"}, {"name": "c"}]


def test_lists_without_a_strategy_are_replaced() -> None:
    """A container's args are one value."""
    target = containers("a", args=["1", "2"])

    assert listed(strategic(target, containers("a", args=["3"]))) == [{"name": "a", "args": ["3"]}]


def test_a_list_marked_to_be_replaced_is() -> None:
    """`$patch: replace` in a list replaces all of it, in an object all of that."""
    patch = {"spec": {"template": {"spec": {"containers": [{"$patch": "replace"}, {"name": "c"}]}}}}

    assert listed(strategic(containers("a", "b"), patch)) == [{"name": "c"}]
    replaced = strategic(
        {"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"$patch": "replace", "b": "2"}}}
    )
    assert replaced == {"metadata": {"labels": {"b": "2"}}}


def test_finalizers_are_a_set_that_can_be_taken_from() -> None:
    """Plain values merge as a set; `$deleteFromPrimitiveList` takes some out."""
    target = {"metadata": {"finalizers": ["a", "b"]}}

    assert strategic(target, {"metadata": {"finalizers": ["b", "c"]}})["metadata"]["finalizers"] == [
        "a",
        "b",
        "c",
    ]
    taken = strategic(target, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}})
    assert taken == {"metadata": {"finalizers": ["b"]}}


def test_the_order_that_a_patch_asks_for_is_kept() -> None:
    """`$setElementOrder` sorts what it names; what only the server has stays where it was."""
    target = containers("a", "server-only", "b")
    patch = {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}}}

    assert [each["name"] for each in listed(strategic(target, patch))] == ["b", "server-only", "a"]


def test_retained_keys_drop_the_others() -> None:
    """Changing the strategy's type with `$retainKeys` removes what belongs to the other type."""
    target = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}

    assert strategic(target, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_ports_of_a_service_are_merged_by_port() -> None:
    """The merge key comes from the type: `port` for a Service."""
    target = {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}}
    patched = strategic(target, {"spec": {"ports": [{"port": 81, "name": "c"}]}}, SERVICE)

    assert patched["spec"]["ports"] == [{"port": 80, "name": "a"}, {"port": 81, "name": "c"}]


def test_an_element_without_its_merge_key_is_refused_with_the_real_text() -> None:
    """500 on a real server, with the element as Go prints it."""
    with pytest.raises(StatusError) as caught:
        strategic(containers("a"), {"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}})

    assert (caught.value.code, caught.value.message) == (
        500,
        "map: map[image:x] does not contain declared merge key: name",
    )


def test_an_unknown_directive_is_refused() -> None:
    """`$patch` knows three words; where there is nothing to be directed, as on a real server, nobody looks at it."""
    with pytest.raises(StatusError, match=r"^unknown patch type: shred in map: map\[\$patch:shred\]$"):
        strategic({"spec": {"replicas": 1}}, {"spec": {"$patch": "shred"}})
    assert strategic({}, {"spec": {"$patch": "shred"}}) == {"spec": {}}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.none() | st.text(max_size=2), max_size=4),
    st.lists(st.sampled_from("abc"), max_size=3, unique=True),
)
def test_a_strategic_patch_without_directives_is_idempotent(labels: dict[str, Any], names: list[str]) -> None:
    """Applied twice it is as if applied once, and no directive or null is left behind."""
    patch = {"metadata": {"labels": labels}, **containers(*names, image="x")}
    once = strategic(containers("a", "z", image="y"), patch)

    assert strategic(once, patch) == once
    assert None not in once["metadata"]["labels"].values()


def test_a_patch_must_leave_an_object() -> None:
    """A patch whose result is no object is refused."""
    with pytest.raises(BadRequest, match="cannot unmarshal array"):
        apply_patch({"a": 1}, ["c"], "merge", DEPLOYMENT)
    with pytest.raises(BadRequest, match="cannot unmarshal array"):
        apply_patch({"a": 1}, ["c"], "strategic", DEPLOYMENT)
    with pytest.raises(BadRequest, match="cannot unmarshal array"):
        apply_patch({"a": 1}, [{"op": "replace", "path": "", "value": 3}], "json", DEPLOYMENT)


def test_errors_show_patches_as_a_real_server_does() -> None:
    """Strategic patches as Go's maps, the others as the JSON they make."""
    shown = misread({"b": [1, None], "a": {"x": True}}, {}, "strategic", "why").message
    assert shown == ' "" is invalid: patch: Invalid value: "map[a:map[x:true] b:[1 <nil>]]": why'
    shown = misread({}, {"a": 1}, "merge", "why").message
    assert shown == ' "" is invalid: patch: Invalid value: "{\\"a\\":1}": why'
