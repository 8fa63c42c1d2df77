"""The recorder of Events."""

from __future__ import annotations

import random

from instant_cluster import CATALOGUE

from simcluster.controllers.events import Recorder
from simcluster.registry import Registry
from simcluster.store import Object


class Desk:
    """A registry, a clock that is set by hand, and a recorder."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.registry = Registry(CATALOGUE, clock=lambda: self.now, chance=random.Random(1))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
        self.registry.create("namespaces", None, namespace)
        self.about = self.registry.create(
            "configmaps", "default", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}}
        )
        self.recorder = Recorder(self.registry, "test-controller", clock=lambda: self.now)

    def tell(self, message: str, *, reason: str = "Happened") -> None:
        """Record an event."""
        self.recorder.record(self.about, "Normal", reason, message)

    def events(self) -> list[Object]:
        """All events, oldest first."""
        return sorted(self.registry.list("events")[0], key=lambda each: each["metadata"]["name"])


def test_an_event_says_what_kubectl_shows() -> None:
    """All fields of a v1 Event as client-go writes it."""
    desk = Desk()
    desk.tell("it did")
    [event] = desk.events()
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "it",
        "namespace": "default",
        "resourceVersion": desk.about["metadata"]["resourceVersion"],
        "uid": desk.about["metadata"]["uid"],
    }
    assert event["metadata"]["name"] == f"it.{1_800_000_000 * 10**9:x}"
    assert (event["type"], event["reason"], event["message"], event["count"]) == (
        "Normal",
        "Happened",
        "it did",
        1,
    )
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2027-01-15T08:00:00Z"
    assert event["source"] == {"component": "test-controller"}
    assert event["reportingComponent"] == "test-controller"


def test_the_same_event_again_is_counted() -> None:
    """One object; the first instant stays, the last one moves."""
    desk = Desk()
    desk.tell("it did")
    desk.now += 60
    desk.tell("it did")
    desk.tell("another thing")
    counted, other = desk.events()
    assert (counted["count"], counted["firstTimestamp"], counted["lastTimestamp"]) == (
        2,
        "2027-01-15T08:00:00Z",
        "2027-01-15T08:01:00Z",
    )
    assert (other["count"], other["message"]) == (1, "another thing")


def test_an_event_that_was_deleted_begins_anew() -> None:
    """Counting goes on only where there is something to count on."""
    desk = Desk()
    desk.tell("it did")
    [event] = desk.events()
    desk.registry.delete("events", "default", event["metadata"]["name"])
    desk.tell("it did")
    assert [each["count"] for each in desk.events()] == [1]


def test_many_alike_are_combined() -> None:
    """From the tenth different message on within ten minutes, one event stands for the rest."""
    desk = Desk()
    for number in range(15):
        desk.tell(f"created pod {number}")
    events = desk.events()
    assert len(events) == 10
    assert (events[-1]["message"], events[-1]["count"]) == (
        "(combined from similar events): created pod 14",
        6,
    )


def test_after_ten_quiet_minutes_messages_stand_alone_again() -> None:
    """The memory of similar ones ends."""
    desk = Desk()
    for number in range(12):
        desk.tell(f"created pod {number}")
    desk.now += 601
    desk.tell("created pod 12")
    assert desk.events()[-1]["message"] == "created pod 12"


def test_who_tells_too_much_of_one_object_is_cut_short() -> None:
    """Twenty-five at once, then one in five minutes."""
    desk = Desk()
    for number in range(40):
        desk.tell("it did", reason=f"Reason{number}")
    assert len(desk.events()) == 25
    desk.now += 301
    desk.tell("it did", reason="Later")
    desk.tell("it did", reason="TooMuch")
    assert [each["reason"] for each in desk.events()][-1] == "Later"
    assert len(desk.events()) == 26


def test_an_event_that_cannot_be_written_is_lost_without_an_error() -> None:
    """Nobody depends on it."""
    desk = Desk()
    desk.about = desk.about | {"metadata": desk.about["metadata"] | {"namespace": "nowhere"}}
    desk.tell("it did")
    assert desk.events() == []


def test_an_object_without_a_namespace_is_told_of_in_default() -> None:
    """Nodes, for example."""
    desk = Desk()
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "uid": "n-1"}}
    desk.recorder.record(node, "Warning", "NodeNotReady", "gone", field_path="spec")
    [event] = desk.events()
    assert event["metadata"]["namespace"] == "default"
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Node",
        "name": "node-1",
        "uid": "n-1",
        "fieldPath": "spec",
    }


def test_a_kubelet_names_its_node() -> None:
    """As source and as reporting instance."""
    desk = Desk()
    recorder = Recorder(desk.registry, "kubelet", clock=lambda: desk.now, host="node-1")
    recorder.record(desk.about, "Normal", "Started", "Started container")
    [event] = desk.events()
    assert event["source"] == {"component": "kubelet", "host": "node-1"}
    assert event["reportingInstance"] == "node-1"
