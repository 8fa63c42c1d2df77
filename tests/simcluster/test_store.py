"""The store against a plain model of it, and its promises one by one."""

from __future__ import annotations

import copy
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.errors import Expired
from simcluster.store import Event, Key, Store

RESOURCES = ("pods", "services")
NAMESPACES = ("a", "b")
NAMES = ("x", "y", "z")

keys = st.builds(Key, st.sampled_from(RESOURCES), st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
writes = st.lists(
    st.tuples(st.sampled_from(["put", "put", "remove", "compact"]), keys, st.integers(0, 2)), max_size=60
)


def make(key: Key, value: int) -> dict[str, Any]:
    return {"metadata": {"name": key.name, "namespace": key.namespace}, "value": value}


class Model:
    """The store as one would write it without a thought to speed: every state of everything is kept."""

    def __init__(self) -> None:
        self.states: list[dict[Key, tuple[int, int]]] = [{}]
        self.events: list[tuple[int, str, Key, int]] = []
        self.compacted = 0

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def put(self, key: Key, value: int) -> None:
        now = self.states[-1]
        if key in now and now[key][0] == value:
            return
        kind = "MODIFIED" if key in now else "ADDED"
        self.states.append({**now, key: (value, self.revision + 1)})
        self.events.append((self.revision, kind, key, value))

    def remove(self, key: Key) -> None:
        now = dict(self.states[-1])
        value, _ = now.pop(key)
        self.states.append(now)
        self.events.append((self.revision, "DELETED", key, value))


def run(operations: list[tuple[str, Key, int]], store: Store, model: Model) -> None:
    for kind, key, value in operations:
        if kind == "put":
            store.put(key, make(key, value))
            model.put(key, value)
        elif kind == "compact":
            at = max(model.compacted, model.revision - value)
            store.compact(at)
            model.compacted = at
        elif key in model.states[-1]:
            store.remove(key)
            model.remove(key)
        else:
            with pytest.raises(KeyError):
                store.remove(key)


def seen(events: list[Event]) -> list[tuple[int, str, Key, int]]:
    return [(each.revision, each.type, each.record.key, each.object["value"]) for each in events]


@settings(max_examples=200, deadline=None)
@given(writes)
def test_every_read_is_what_the_model_says(operations: list[tuple[str, Key, int]]) -> None:
    """Objects, lists, past lists, events and revisions are those of the model, at every revision that is kept."""
    store, model = Store(), Model()
    run(operations, store, model)

    assert store.revision == model.revision
    for resource in RESOURCES:
        for namespace in (None, *NAMESPACES):
            for revision in range(model.compacted, model.revision + 1):
                expected = [
                    (key, *model.states[revision][key])
                    for key in sorted(model.states[revision])
                    if key.resource == resource and namespace in (None, key.namespace)
                ]
                found = store.list_at(resource, namespace, revision)
                assert [(each.key, each.object["value"], each.revision) for each in found] == expected
                later = [
                    each
                    for each in model.events
                    if each[0] > revision
                    and each[2].resource == resource
                    and namespace in (None, each[2].namespace)
                ]
                assert seen(store.events_after(revision, resource, namespace)) == later
            assert store.list(resource, namespace) == store.list_at(resource, namespace, store.revision)


@settings(max_examples=50, deadline=None)
@given(writes)
def test_what_was_handed_out_never_changes(operations: list[tuple[str, Key, int]]) -> None:
    """An object that a reader holds is the same after any number of later writes."""
    store, model = Store(), Model()
    held: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for resource in RESOURCES:
        store.listen(resource, lambda event: held.append((event.object, copy.deepcopy(event.object))))
    run(operations, store, model)

    assert all(now == then for now, then in held)
    assert len(held) == len(model.events)


def test_a_write_that_changes_nothing_is_no_event() -> None:
    """Storing what is stored takes no revision and tells nobody; storing something else does."""
    store, told = Store(), list[Event]()
    key = Key("pods", "a", "x")
    first = store.put(key, make(key, 1))
    store.listen("pods", told.append)

    assert store.put(key, make(key, 1)) is first
    assert (store.revision, told) == (1, [])
    store.put(key, make(key, 2))
    assert (store.revision, len(told)) == (2, 1)


def test_revisions_are_counted_over_all_kinds() -> None:
    """Each write of any kind takes the next revision, which stands in the object."""
    store = Store()
    pod, service = Key("pods", "a", "x"), Key("services", "a", "x")

    assert store.put(pod, make(pod, 1)).object["metadata"]["resourceVersion"] == "1"
    assert store.put(service, make(service, 1)).object["metadata"]["resourceVersion"] == "2"
    assert store.remove(pod).object["metadata"]["resourceVersion"] == "3"


def test_a_watch_from_before_a_compaction_is_refused_with_the_real_text() -> None:
    """From before the compacted revision: 410 with both revisions; from it on: the events."""
    store = Store()
    key = Key("pods", "a", "x")
    for value in range(5):
        store.put(key, make(key, value))
    store.compact(3)

    with pytest.raises(Expired, match=r"too old resource version: 2 \(3\)") as caught:
        store.events_after(2, "pods")
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    assert [each.revision for each in store.events_after(3, "pods")] == [4, 5]
    with pytest.raises(ValueError, match="cannot compact at 9: the newest revision is 5"):
        store.compact(9)


def test_the_window_is_bounded() -> None:
    """More events than the window compact the oldest; the objects stay."""
    store = Store(window=3)
    for value in range(5):
        key = Key("pods", "a", f"x{value}")
        store.put(key, make(key, value))

    assert store.compacted == 2
    assert len(store.list("pods")) == 5
    with pytest.raises(Expired):
        store.events_after(1, "pods")


def test_who_stops_listening_is_told_nothing_more() -> None:
    """Neither a listener of one resource nor one of all is called after it stopped, even while it is told."""
    store, told = Store(), list[int]()
    key = Key("pods", "a", "x")

    def once(event: Event) -> None:
        told.append(event.revision)
        stop()

    stop = store.listen(None, once)
    store.put(key, make(key, 1))
    store.put(key, make(key, 2))

    assert told == [1]


def test_an_object_is_encoded_once() -> None:
    """All readers of one state get the same bytes, not equal ones."""
    store = Store()
    key = Key("pods", "a", "x")
    record = store.put(key, make(key, 1))

    assert record.encoded is record.encoded
    assert record.encoded.startswith(b'{"metadata":{')


def test_json_takes_no_more_memory_than_it_is_long() -> None:
    """Not the buffer that it was written to, which is larger."""
    record = Store().put(Key("pods", "a", "x"), make(Key("pods", "a", "x"), 1) | {"data": "x" * 5_000})
    tracemalloc.start()
    try:
        kept = orjson.dumps(record.object)
        whole = tracemalloc.get_traced_memory()[0]
        own = len(record.encoded)
        held = tracemalloc.get_traced_memory()[0] - whole
    finally:
        tracemalloc.stop()

    assert len(kept) == own < held < own + 200 < whole


def test_only_new_and_current_states_hold_their_json() -> None:
    """What was replaced long ago keeps its object alone, and gives its JSON all the same when it is asked."""
    store = Store()
    key, other = Key("pods", "a", "x"), Key("pods", "a", "y")
    first, second = store.put(key, make(key, 1)), store.put(key, make(key, 2))
    kept = store.put(other, make(other, 1))
    for record in (first, second, kept):
        assert record.encoded == orjson.dumps(record.object)
    for number in range(1_100):
        filler = Key("pods", "b", f"z{number}")
        store.put(filler, make(filler, 1))
    assert (first._encoded, second._encoded is None, kept._encoded is None) == (None, False, False)
    store.put(key, make(key, 3))
    assert second._encoded is None
    assert second.encoded == orjson.dumps(second.object)
