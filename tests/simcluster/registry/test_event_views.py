"""Events in their two versions. Conversions, texts and empty fields measured on v1.36.3."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.errors import Invalid
from simcluster.registry import Registry
from simcluster.registry.event_views import STORED, VIEW, to_stored, to_view
from simcluster.schema import load
from simcluster.selectors import parse

CATALOGUE = load()
EVENT_TIME = "2026-11-21T14:31:30.123456Z"
NEW = {
    "metadata": {"name": "v1"},
    "eventTime": EVENT_TIME,
    "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
    "type": "Normal",
    "reason": "R",
    "action": "A",
    "reportingController": "x.y/z",
    "reportingInstance": "i",
    "note": "hello",
}
OLD = {
    "metadata": {"name": "ev"},
    "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default", "apiVersion": "v1"},
    "type": "Warning",
    "reason": "BackOff",
    "message": "Back-off",
    "source": {"component": "kubelet", "host": "n1"},
    "count": 4,
}


@pytest.fixture
def registry() -> Registry:
    registry = Registry(CATALOGUE, clock=time.time, chance=random.Random(1))
    registry.create("namespaces", None, {"metadata": {"name": "default"}})
    return registry


def bare(obj: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key != "metadata"}


def test_an_event_of_either_version_is_read_in_both(registry: Registry) -> None:
    """One object with one uid and one revision; fields have their version's names."""
    created = registry.create(VIEW, "default", NEW)
    shown = registry.get(STORED, "default", "v1")

    assert bare(shown) == {
        "kind": "Event",
        "apiVersion": "v1",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "R",
        "message": "hello",
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "type": "Normal",
        "eventTime": EVENT_TIME,
        "action": "A",
        "reportingComponent": "x.y/z",
        "reportingInstance": "i",
    }
    for key in ("uid", "resourceVersion"):
        assert shown["metadata"][key] == created["metadata"][key]
    registry.create(STORED, "default", OLD)
    assert bare(registry.get(VIEW, "default", "ev")) == {
        "kind": "Event",
        "apiVersion": "events.k8s.io/v1",
        "eventTime": None,
        "reason": "BackOff",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p", "apiVersion": "v1"},
        "note": "Back-off",
        "type": "Warning",
        "deprecatedSource": {"component": "kubelet", "host": "n1"},
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
        "deprecatedCount": 4,
    }


def test_both_versions_are_watched_listed_and_selected(registry: Registry) -> None:
    """A write of one version is an event of the other; selectors take each version's own fields."""
    seen = []
    registry.listen(VIEW, lambda event: seen.append((event.type, event.object["apiVersion"], event.revision)))
    registry.create(STORED, "default", OLD)
    first = registry.revision
    series = {"series": {"count": 2, "lastObservedTime": EVENT_TIME}}
    registry.patch(VIEW, "default", "ev", series, "merge")
    registry.delete(VIEW, "default", "ev")

    assert seen == [
        ("ADDED", "events.k8s.io/v1", first),
        ("MODIFIED", "events.k8s.io/v1", first + 1),
        ("DELETED", "events.k8s.io/v1", first + 2),
    ]
    replayed = registry.store.events_after(first, VIEW, "default")
    assert [each.type for each in replayed] == ["MODIFIED", "DELETED"]
    assert registry.store.list_at(VIEW, "default", first)[0].object["note"] == "Back-off"
    registry.create(VIEW, "default", NEW)
    wanted = parse("", "regarding.name=p,reportingController=x.y/z", VIEW)
    assert [each["note"] for each in registry.list(VIEW, "default", wanted)[0]] == ["hello"]
    assert registry.list(STORED, "default", parse("", "involvedObject.name=q", STORED))[0] == []


QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("resource", "event", "text"),
    [
        (
            VIEW,
            {"metadata": {"name": "v1"}},
            'Event "v1" is invalid: [eventTime: Required value, type: Invalid value: "": has invalid value: ]',
        ),
        (
            VIEW,
            {
                "metadata": {"name": "v9"},
                "eventTime": EVENT_TIME,
                "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
                "type": "Nope",
                "deprecatedCount": 1,
                "deprecatedSource": {"component": "x"},
                "deprecatedFirstTimestamp": "2026-11-21T14:31:30Z",
                "series": {"count": 1},
            },
            'Event "v9" is invalid: [reportingController: Required value, reportingController: Invalid value: "": name '
            f'part must be non-empty, reportingController: Invalid value: "": {QUALIFIED}, reportingInstance: Required '
            'value, action: Required value, reason: Required value, series.count: Invalid value: "": should be at least'
            ' 2, series.lastObservedTime: Required value, type: Invalid value: "": has invalid value: Nope, '
            'firstTimestamp: Invalid value: "": needs to be unset, count: Invalid value: "": needs to be unset, source:'
            ' Invalid value: "": needs to be unset]',
        ),
        (
            STORED,
            {"metadata": {"name": "c2"}, "involvedObject": {"kind": "Pod", "namespace": "kube-system"}},
            'Event "c2" is invalid: involvedObject.namespace: Invalid value: "kube-system": does not match '
            "event.namespace",
        ),
    ],
)
def test_a_wrong_event_is_refused_in_real_words(
    registry: Registry, resource: str, event: dict[str, Any], text: str
) -> None:
    """events.k8s.io is strict, v1 asks for little; both call fields as v1 does."""
    with pytest.raises(Invalid) as caught:
        registry.create(resource, "default", event)
    assert caught.value.message == text


def test_only_the_series_of_a_new_event_may_change(registry: Registry) -> None:
    """In events.k8s.io all else is immutable; in v1 it is not."""
    registry.create(VIEW, "default", NEW)
    registry.patch(VIEW, "default", "v1", {"series": {"count": 2, "lastObservedTime": EVENT_TIME}}, "merge")
    with pytest.raises(Invalid, match='message: Invalid value: "other": field is immutable'):
        registry.patch(VIEW, "default", "v1", {"note": "other"}, "merge")
    with pytest.raises(Invalid, match=r'series\.count: Invalid value: "": should be at least 2'):
        registry.patch(VIEW, "default", "v1", {"series": {"count": 1}}, "merge")
    registry.patch(STORED, "default", "v1", {"message": "other"}, "merge")
    assert registry.get(VIEW, "default", "v1")["note"] == "other"


FIELDS = ("involvedObject", "message", "source", "count", "reason", "action", "type", "related")
TEXTS = st.text(max_size=4)


@given(st.dictionaries(st.sampled_from(FIELDS), TEXTS), TEXTS, TEXTS)
def test_conversion_loses_nothing(event: dict[str, Any], component: str, instance: str) -> None:
    """There and back again is where it began."""
    stored = {"kind": "Event", "apiVersion": "v1", "metadata": {}, "source": {}, "involvedObject": {}}
    stored |= event | {"reportingComponent": component, "reportingInstance": instance}
    assert to_stored(to_view(stored)) == stored
