"""Server-side apply as a function: merging, owning, conflicts, giving up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.patches.application import LAST_APPLIED, ApplyConflict, apply
from simcluster.patches.comparison import begin, collect_fields, compare
from simcluster.patches.fieldset import LEAF, intersect
from simcluster.patches.ownership import Entry, Writer, ownable, read_sent, track, write_entries
from simcluster.patches.structured import find_misfits, remove
from simcluster.schema import load

CATALOGUE = load()
TYPE = CATALOGUE.resources["deployments.apps"].type
HEAD = {"kind": "Deployment", "apiVersion": "apps/v1"}
LIVE: dict[str, Any] = {**HEAD, **begin(TYPE)}

ports = st.lists(
    st.builds(lambda number: {"containerPort": number}, st.integers(80, 83)),
    unique_by=lambda port: port["containerPort"],
    max_size=3,
)
containers = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abc")},
        optional={"image": st.sampled_from("xy"), "ports": ports, "command": st.lists(st.just("run"))},
    ),
    unique_by=lambda container: container["name"],
    max_size=3,
)
finalizers = st.lists(st.sampled_from(["a/a", "a/b", "a/c"]), unique=True)
labels = st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw"))
configurations = st.builds(
    lambda metadata, spec: HEAD | {"metadata": metadata, "spec": spec},
    st.fixed_dictionaries({}, optional={"labels": labels, "finalizers": finalizers}),
    st.fixed_dictionaries(
        {},
        optional={
            "replicas": st.integers(0, 2),
            "selector": st.builds(lambda chosen: {"matchLabels": chosen}, labels),
            "template": st.builds(lambda found: {"spec": {"containers": found}}, containers),
            "strategy": st.just({"rollingUpdate": {"maxSurge": 1}}),
        },
    ),
)
managers = st.sampled_from(["one", "other", "third"])


def use(
    live: dict[str, Any],
    entries: list[Entry],
    wanted: dict[str, Any],
    manager: str = "m",
    *,
    force: bool = True,
) -> tuple[dict[str, Any], list[Entry]]:
    writer = Writer(manager, "Apply", "apps/v1")
    return apply(TYPE, live, wanted, entries, writer, ignored=LEAF, force=force, now="now")


def owned(entries: list[Entry], manager: str) -> Any:
    return next((each.fields for each in entries if each.writer.manager == manager), LEAF)


@given(st.lists(st.tuples(managers, configurations), max_size=4), configurations)
def test_applying_twice_is_applying_once(
    before: list[tuple[str, dict[str, Any]]], wanted: dict[str, Any]
) -> None:
    """The second time changes neither the object nor who owns what."""
    live, entries = LIVE, []
    for manager, each in before:
        live, entries = use(live, entries, each, manager)
    once = use(live, entries, wanted)

    assert use(*once, wanted) == once


@given(st.lists(st.tuples(managers, configurations), max_size=4), configurations)
def test_what_is_applied_is_there_and_owned(
    before: list[tuple[str, dict[str, Any]]], wanted: dict[str, Any]
) -> None:
    """By force, the object says what was applied, and the writer owns just that."""
    live, entries = LIVE, []
    for manager, each in before:
        live, entries = use(live, entries, each, manager)
    new, entries = use(live, entries, wanted)
    found = compare(TYPE, new, wanted)

    stated = ownable(collect_fields(TYPE, wanted))

    assert intersect(found.changed, stated) == LEAF
    assert owned(entries, "m") == stated


@given(st.lists(st.tuples(managers, configurations), max_size=3), configurations)
def test_nobody_elses_fields_change_by_giving_up(
    before: list[tuple[str, dict[str, Any]]], wanted: dict[str, Any]
) -> None:
    """Who applies and then applies nothing leaves what the others own as it was."""
    live, entries = LIVE, []
    for manager, each in before:
        live, entries = use(live, entries, each, manager)
    held = {each.writer.manager: each.fields for each in entries}
    try:
        new, after = use(live, entries, wanted, force=False)
    except ApplyConflict:
        return
    new, after = use(new, after, HEAD)

    assert owned(after, "m") == LEAF
    for manager, fields in held.items():
        assert owned(after, manager) == fields
        lost = compare(TYPE, live, new)
        assert intersect(lost.removed, fields) == LEAF
        assert intersect(lost.changed, fields) == LEAF


def test_a_field_given_up_goes_if_nobody_else_owns_it() -> None:
    """A container that is no longer applied is taken out; one that another owns too stays."""
    one = HEAD | {"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}}
    less = HEAD | {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}
    live, entries = use(LIVE, [], one, "first")
    live, entries = use(live, entries, one, "second")

    live, entries = use(live, entries, less, "first")
    assert [each["name"] for each in live["spec"]["template"]["spec"]["containers"]] == ["a", "b"]

    live, entries = use(live, entries, less, "second")
    assert [each["name"] for each in live["spec"]["template"]["spec"]["containers"]] == ["a"]


def test_another_value_for_a_field_of_another_is_a_conflict() -> None:
    """The text names owner and field, for one and for many; the causes do for each."""
    live, entries = use(LIVE, [], HEAD | {"spec": {"replicas": 1, "paused": True}}, "first")

    with pytest.raises(ApplyConflict) as caught:
        use(live, entries, HEAD | {"spec": {"replicas": 2}}, "second", force=False)
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "first": .spec.replicas'
    assert caught.value.details == {
        "causes": [
            {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": ".spec.replicas"}
        ]
    }

    with pytest.raises(ApplyConflict) as caught:
        use(live, entries, HEAD | {"spec": {"replicas": 2, "paused": False}}, "second", force=False)
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "first":\n- .spec.paused\n- .spec.replicas'
    )


def test_a_conflict_with_an_update_names_its_version_and_subresource() -> None:
    """Whoever did not apply is told apart by version, and by what it wrote through."""
    live = LIVE | {"spec": LIVE["spec"] | {"replicas": 1}}
    entries = [Entry(Writer("hpa", "Update", "apps/v1", "scale"), {"f:spec": {"f:replicas": {}}}, None)]

    with pytest.raises(ApplyConflict, match='conflict with "hpa" with subresource "scale" using apps/v1: '):
        use(live, entries, HEAD | {"spec": {"replicas": 2}}, force=False)


def test_the_same_value_is_shared_without_a_conflict() -> None:
    """Both own it then; who came later without changing anything has no time."""
    wanted = HEAD | {"spec": {"replicas": 1}}
    live, entries = use(LIVE, [], wanted, "first")
    _, entries = use(live, entries, wanted, "second", force=False)

    assert owned(entries, "first") == owned(entries, "second") == {"f:spec": {"f:replicas": {}}}
    assert [(each.writer.manager, each.time) for each in entries] == [("first", "now"), ("second", None)]


def test_kubectl_takes_over_what_its_client_side_apply_wrote() -> None:
    """A field that still is as last applied is no conflict for the manager `kubectl`; another is."""
    last = HEAD | {"spec": {"replicas": 1}}
    live = LIVE | {
        "metadata": {"annotations": {LAST_APPLIED: json.dumps(last)}},
        "spec": {"replicas": 1, "paused": True},
    }
    fields = {"f:spec": {"f:replicas": {}, "f:paused": {}}}
    entries = [Entry(Writer("kubectl-client-side-apply", "Update", "apps/v1"), fields, None)]

    new, _ = use(live, entries, HEAD | {"spec": {"replicas": 2}}, "kubectl", force=False)
    assert new["spec"]["replicas"] == 2
    with pytest.raises(ApplyConflict, match=r"1 conflict: .*: \.spec\.paused"):
        use(live, entries, HEAD | {"spec": {"replicas": 2, "paused": False}}, "kubectl", force=False)
    with pytest.raises(ApplyConflict, match=r"\.spec\.replicas"):
        use(live, entries, HEAD | {"spec": {"replicas": 2}}, "somebody", force=False)


@pytest.mark.parametrize(
    ("live", "applied", "merged"),
    [
        ("ab", "ba", "ba"),
        ("abx", "bac", "bxac"),
        ("xab", "cab", "xcab"),
        ("abc", "", "abc"),
        ("", "ba", "ba"),
        ("axb", "yb", "axyb"),
    ],
)
def test_a_list_takes_the_applied_order_where_there_is_one(live: str, applied: str, merged: str) -> None:
    """Elements of the live list keep their places among those that the applied order moves."""
    type_ = CATALOGUE.types.named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    writer = Writer("m", "Apply", "v1")

    new, _ = apply(
        type_, {"annotations": {}, "finalizers": list(live)}, {"finalizers": list(applied)}, [], writer,
        ignored=LEAF, force=True, now="",
    )  # fmt: skip

    assert "".join(new["finalizers"]) == merged


def test_what_loses_all_its_parts_stays_empty() -> None:
    """A map is not removed with its last entry, as the real server keeps it."""
    type_ = CATALOGUE.resources["configmaps"].type

    assert remove(type_, {"data": {"a": "1"}}, {"f:data": {"f:a": {}}}) == {"data": {}}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"replicas": "1"}, (".spec.replicas", "expected numeric (int or float), got string")),
        ({"foo": 1}, (".spec.foo", "field not declared in schema")),
        ({"paused": "x"}, (".spec.paused", "expected boolean, got &{x}")),
        ({"template": []}, (".spec.template", "expected map, got &{[]}")),
        (
            {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}},
            (".spec.template.spec.containers", 'duplicate entries for key [name="a"]'),
        ),
        (
            {"template": {"spec": {"containers": ["a"]}}},
            (
                ".spec.template.spec.containers",
                "element 0: associative list with keys may not have non-map elements",
            ),
        ),
        ({"selector": {"matchLabels": {"a": 1}}}, (".spec.selector.matchLabels.a", "expected string, got …")),
    ],
)
def test_what_does_not_fit_the_type_is_said_with_its_place(
    spec: dict[str, Any], found: tuple[str, str]
) -> None:
    """The words are those of the real server."""
    at, why = find_misfits(TYPE, {"spec": spec})[0]

    assert at == found[0]
    assert why.startswith(found[1].rstrip("…"))


def test_updates_take_fields_over_and_removed_ones_belong_to_nobody() -> None:
    """An update owns what it changed, with its time; a field that is gone is in no entry."""
    first, second = Writer("a", "Update", "apps/v1"), Writer("b", "Update", "apps/v1")
    one = LIVE | {"spec": {"replicas": 1, "paused": True}}
    two = LIVE | {"spec": {"replicas": 2}}

    entries = track([], compare(TYPE, LIVE, one), first, "then")
    entries = track(entries, compare(TYPE, one, two), second, "now")

    assert [(each.writer.manager, each.time) for each in entries] == [("b", "now")]
    assert owned(entries, "b") == {"f:spec": {"f:replicas": {}}}
    assert track(entries, compare(TYPE, two, two), first, "later") is entries


def test_only_ten_updaters_are_kept_apart() -> None:
    """The oldest of more than ten are one entry of nobody in particular; who applies does not count."""
    entries = [Entry(Writer("z", "Apply", "apps/v1"), {"f:spec": {"f:paused": {}}}, "00")]
    live: dict[str, Any] = dict(LIVE)
    for index in range(12):
        labels = live["metadata"].get("labels", {}) | {f"l{index}": "x"}
        new = {**live, "metadata": {"labels": labels}}
        writer = Writer(f"u{index}", "Update", "apps/v1")
        entries = track(entries, compare(TYPE, live, new), writer, f"{index:02}")
        live = new

    named = [each.writer.manager for each in entries if each.writer.operation == "Update"]
    assert sorted(named) == sorted(["ancient-changes", *(f"u{index}" for index in range(3, 12))])
    assert {"f:l0", "f:l1", "f:l2"} <= set(owned(entries, "ancient-changes")["f:metadata"]["f:labels"])


def test_entries_are_written_in_their_order_and_read_back() -> None:
    """First who applies, then by time and name; sets that are alike are one object."""
    entries = [
        Entry(Writer("b", "Update", "v1", "status"), {"f:status": {}}, "2"),
        Entry(Writer("a", "Update", "v1"), {"f:data": {}}, "2"),
        Entry(Writer("c", "Apply", "v1"), {"f:data": {}}, None),
    ]
    written = write_entries(entries)

    assert [each["manager"] for each in written] == ["c", "a", "b"]
    assert written[2]["subresource"] == "status"
    assert "time" not in written[0]
    assert read_sent(written, "v1") == [entries[2], entries[1], entries[0]]
    assert read_sent(written, "v2") == []


@pytest.mark.parametrize(
    "entry",
    [
        {"operation": "Delete", "apiVersion": "v1", "fieldsType": "FieldsV1"},
        {"operation": "Update", "fieldsType": "FieldsV1"},
        {"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV2"},
        {"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}},
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: dict[str, Any]) -> None:
    """So that the server falls back to what it has."""
    with pytest.raises(ValueError, match=r"entry 0|path element"):
        read_sent([entry], "v1")
