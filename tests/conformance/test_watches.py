"""Watches: events, bookmarks, selectors, versions."""

import pytest
from rig.objects import config_map
from rig.room import new_name


@pytest.fixture
def chosen(name):
    """A selector that only this case's objects match."""
    return {"labelSelector": f"case={name}"}


def mine(case, stem, **more):
    """A ConfigMap of this case."""
    return config_map(f"{stem}-{case}", more or None, labels={"case": case})


def now(room):
    """The current version."""
    return room.get("configmaps", limit=1).ok["metadata"]["resourceVersion"]


def test_a_watch_follows_a_life(room, name, chosen):
    """Creation, change and deletion are told, in order and with rising versions."""
    with room.watch("configmaps", resourceVersion=now(room), **chosen) as events:
        room.make("configmaps", mine(name, "a"))
        room.patch("configmaps", f"a-{name}", "merge", {"data": {"x": "1"}})
        room.delete("configmaps", f"a-{name}")
        told = [events.next() for _ in range(3)]
    assert [each["type"] for each in told] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(each["object"]["metadata"]["resourceVersion"]) for each in told]
    assert versions == sorted(set(versions))


def test_deleted_carries_the_last_state(room, name, chosen):
    """DELETED has the object as it was, with the version of the deletion."""
    room.make("configmaps", mine(name, "a", x="last"))
    version = now(room)
    with room.watch("configmaps", resourceVersion=version, **chosen) as events:
        room.delete("configmaps", f"a-{name}")
        event = events.next()
    assert (event["type"], event["object"]["data"]) == ("DELETED", {"x": "last"})
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(version)


@pytest.mark.parametrize("version", [None, "0"], ids=["unset", "zero"])
def test_a_watch_from_nowhere_begins_with_what_is_there(room, name, chosen, version):
    """Without a version, or from 0, what is there is told as ADDED."""
    room.make("configmaps", mine(name, "a"))
    room.make("configmaps", mine(name, "b"))
    with room.watch("configmaps", resourceVersion=version, **chosen) as events:
        assert sorted(events.take(2)) == [("ADDED", f"a-{name}"), ("ADDED", f"b-{name}")]


def test_a_watch_replays_from_its_version(room, name, chosen):
    """What happened after the version is told again, whenever the watch begins."""
    version = now(room)
    room.make("configmaps", mine(name, "a"))
    room.delete("configmaps", f"a-{name}")
    with room.watch("configmaps", resourceVersion=version, **chosen) as events:
        assert events.take(2) == [("ADDED", f"a-{name}"), ("DELETED", f"a-{name}")]


def test_objects_that_come_into_view(room, name):
    """An object that starts to match is ADDED, and one that no longer matches DELETED."""
    room.make("configmaps", config_map(name, labels={"case": "other"}))
    with room.watch("configmaps", resourceVersion=now(room), labelSelector=f"case={name}") as events:
        room.patch("configmaps", name, "merge", {"metadata": {"labels": {"case": name}}})
        room.patch("configmaps", name, "merge", {"data": {"x": "1"}})
        room.patch("configmaps", name, "merge", {"metadata": {"labels": {"case": "other"}}})
        assert [each for each, _ in events.take(3)] == ["ADDED", "MODIFIED", "DELETED"]


def test_out_of_view_is_told_as_it_was(room, name):
    """The DELETED of an object that no longer matches has its last matching state, at the version of the change."""
    room.make("configmaps", config_map(name, {"x": "old"}, labels={"case": name}))
    with room.watch("configmaps", resourceVersion=now(room), labelSelector=f"case={name}") as events:
        changed = room.patch(
            "configmaps", name, "merge", {"metadata": {"labels": {"case": "o"}}, "data": {"x": "new"}}
        )
        event = events.next()
    assert (event["object"]["data"]["x"], event["object"]["metadata"]["labels"]["case"]) == ("old", name)
    assert event["object"]["metadata"]["resourceVersion"] == changed.ok["metadata"]["resourceVersion"]


def test_a_change_of_nothing_is_not_told(room, name, chosen):
    """A write that changes nothing keeps the version, and no watch hears of it."""
    made = room.make("configmaps", mine(name, "a", x="1"))
    with room.watch("configmaps", resourceVersion=now(room), **chosen) as events:
        same = room.patch("configmaps", f"a-{name}", "merge", {"data": {"x": "1"}}).ok
        room.patch("configmaps", f"a-{name}", "merge", {"data": {"x": "2"}})
        assert events.next()["object"]["data"] == {"x": "2"}
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_one_name_can_be_watched(room, name):
    """A field selector for a name sees this one alone."""
    with room.watch("configmaps", resourceVersion=now(room), fieldSelector=f"metadata.name={name}") as events:
        room.make("configmaps", config_map(f"{name}-other"))
        room.make("configmaps", config_map(name))
        assert events.take(1) == [("ADDED", name)]


def test_watch_on_one_object_is_get(room, name):
    """`?watch=1` on the path of one object is ignored: the object is answered."""
    room.make("configmaps", config_map(name))
    answer = room.get("configmaps", name, watch="1", timeoutSeconds=1)
    assert (answer.status, answer.json["metadata"]["name"]) == (200, name)


@pytest.mark.parametrize("scoped", [True, False], ids=["namespace", "cluster"])
def test_the_old_watch_path(room, name, scoped):
    """/api/v1/watch/… is a watch too."""
    room.make("configmaps", config_map(name))
    inside = f"namespaces/{room.name}/" if scoped else ""
    with room.api.watch(f"/api/v1/watch/{inside}configmaps", fieldSelector=f"metadata.name={name}") as events:
        assert events.take(1) == [("ADDED", name)]


def test_initial_events_end_with_a_bookmark(room, name, chosen):
    """sendInitialEvents: what is there, then a BOOKMARK that says that this was all."""
    room.make("configmaps", mine(name, "a"))
    options = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    with room.watch("configmaps", **options, **chosen) as events:
        first, second = events.next(), events.next()
    assert (first["type"], second["type"]) == ("ADDED", "BOOKMARK")
    metadata = second["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (second["object"]["kind"], "name" in metadata) == ("ConfigMap", False)


WATCH_OPTIONS = [
    ({"sendInitialEvents": "true"}, "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    ({"sendInitialEvents": "true", "resourceVersionMatch": "Exact", "resourceVersion": "5"}, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    ({"resourceVersionMatch": "NotOlderThan", "resourceVersion": "5"}, "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text"),
    WATCH_OPTIONS,
    ids=["initial-without-match", "initial-exact", "match-without-initial"],
)
def test_watch_options_that_do_not_go(room, options, text):
    """Options that do not go together are refused before the stream begins."""
    code, reason, message = room.get("configmaps", watch="1", timeoutSeconds=1, **options).error
    assert (code, reason) == (422, "Invalid")
    assert text in message


def test_a_watch_ends_after_its_time(room, name, chosen):
    """timeoutSeconds ends the stream, without an error."""
    with room.watch("configmaps", resourceVersion=now(room), timeoutSeconds=1, **chosen) as events:
        assert (events.status, list(events)) == (200, [])


def test_a_bookmark_before_the_end(room, name, chosen):
    """Who allows bookmarks is told the version before the stream ends."""
    room.make("configmaps", mine(name, "a"))
    with room.watch("configmaps", allowWatchBookmarks="true", timeoutSeconds=3, **chosen) as events:
        told = list(events)
    assert told[0]["type"] == "ADDED"
    assert told[-1]["type"] == "BOOKMARK"
    assert set(told[-1]["object"]["metadata"]) <= {"resourceVersion", "creationTimestamp", "annotations"}


def test_no_bookmarks_unasked(room, name, chosen):
    """Who does not allow bookmarks sees none."""
    room.make("configmaps", mine(name, "a"))
    with room.watch("configmaps", timeoutSeconds=2, **chosen) as events:
        assert {each["type"] for each in events} == {"ADDED"}


def test_a_version_of_the_future_is_waited_for(room):
    """A watch from a version that is not there yet is open and silent."""
    answer = room.get(
        "configmaps", watch="1", resourceVersion=str(int(now(room)) + 1_000_000), timeoutSeconds=1
    )
    assert (answer.status, answer.body) == (200, b"")


def test_initial_events_of_the_future(room):
    """With sendInitialEvents, a version that is not there yet ends the stream as a time-out."""
    version = int(now(room)) + 1_000_000
    options = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "resourceVersion": str(version),
    }
    with room.watch("configmaps", timeoutSeconds=20, **options) as events:
        event = events.next()
    status = event["object"]
    assert (event["type"], status["reason"], status["code"]) == ("ERROR", "Timeout", 504)
    assert status["message"].startswith(f"Timeout: Too large resource version: {version}, current: ")


@pytest.mark.parametrize("version", ["x", "1.5"])
def test_a_version_that_is_no_number(room, version):
    """A watch from what is no version is refused, as a fault without a reason."""
    answer = room.get("configmaps", watch="1", resourceVersion=version, timeoutSeconds=1)
    text = (
        f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
    )
    assert answer.error == (500, "", text)


def test_watched_objects_have_kinds(room, name, chosen):
    """Unlike the items of a list, a watched object names its kind and version."""
    room.make("configmaps", mine(name, "a"))
    with room.watch("configmaps", **chosen) as events:
        found = events.next()["object"]
    assert (found["kind"], found["apiVersion"]) == ("ConfigMap", "v1")


def test_a_stream_is_json_by_lines(room, name, chosen):
    """A watch is a chunked stream of JSON, one event a line."""
    with room.watch("configmaps", resourceVersion=now(room), timeoutSeconds=1, **chosen) as events:
        assert events.headers["Content-Type"] == "application/json"
        assert events.headers["Transfer-Encoding"] == "chunked"


def test_partial_metadata_can_be_watched(room, name, chosen):
    """Metadata alone can be watched."""
    room.make("configmaps", mine(name, "a", x="1"))
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    with room.watch("configmaps", headers={"Accept": accept}, **chosen) as events:
        found = events.next()["object"]
    assert (found["kind"], "data" in found) == ("PartialObjectMetadata", False)


def test_all_namespaces_can_be_watched(api, room, name):
    """A watch of a collection for all namespaces sees each."""
    label = new_name("wide")
    with api.watch("/api/v1/configmaps", labelSelector=f"case={label}") as events:
        room.make("configmaps", config_map(name, labels={"case": label}))
        assert events.take(1) == [("ADDED", name)]
