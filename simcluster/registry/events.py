"""What the API server refuses of Events: little in v1, much in events.k8s.io/v1. Pure.

The rule it keeps: fields are called by their names in v1, in both versions, as a real server calls them.

Source: kubernetes pkg/apis/core/validation/events.go; order and texts measured on v1.36.3.
"""

from __future__ import annotations

from typing import Any

from simcluster.errors import Cause, invalid, required
from simcluster.labels import complain_key
from simcluster.registry.event_views import to_stored

Object = dict[str, Any]
_LONGEST = (("action", 128), ("reason", 128), ("message", 1024))
_IMMUTABLE = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def find_faults(event: Object, _old: Object | None) -> list[Cause]:
    """Return what is wrong with a v1 Event."""
    return _find_common(event, "reportingComponent")


def find_view_faults(event: Object, old: Object | None) -> list[Cause]:
    """Return what is wrong with an events.k8s.io/v1 Event."""
    new = to_stored(event)
    found = _find_common(new, "reportingController")
    if old is None:
        return found + _find_series_faults(new) + _find_strict_faults(new)
    before = to_stored(old)
    if new.get("series") != before.get("series"):
        found += _find_series_faults(new)
    for key in _IMMUTABLE:
        if new.get(key) != before.get(key):
            shown = "reportingController" if key == "reportingComponent" else key
            found.append(invalid(shown, new.get(key), "field is immutable"))
    return found


def _find_common(event: Object, reporting: str) -> list[Cause]:
    namespace = event["metadata"].get("namespace", "")
    about = event.get("involvedObject", {}).get("namespace", "")
    is_new = event.get("eventTime") is not None
    # Of an object without a namespace it is told in "default", newly also in "kube-system".
    places = ("default", "kube-system") if is_new else ("default",)
    is_misplaced = namespace not in places if not about else not is_new and about != namespace
    text = "does not match event.namespace"
    found = [invalid("involvedObject.namespace", about, text)] if is_misplaced else []
    return found + _find_new_faults(event, reporting) if is_new else found


def _find_new_faults(event: Object, reporting: str) -> list[Cause]:
    component = event.get("reportingComponent", "")
    found = [] if component else [required(reporting)]
    found += [invalid(reporting, component, text) for text in complain_key(component)]
    found += [required(key) for key in ("reportingInstance", "action", "reason") if not event.get(key)]
    for key, longest in (("reportingInstance", 128), *_LONGEST):
        if len(event.get(key, "")) > longest:
            found.append(invalid(key, "", f"can have at most {longest} characters"))
    return found


def _find_series_faults(event: Object) -> list[Cause]:
    series = event.get("series")
    if series is None:
        return []
    found = [] if series.get("count", 0) >= 2 else [invalid("series.count", "", "should be at least 2")]
    return found if series.get("lastObservedTime") else [*found, required("series.lastObservedTime")]


def _find_strict_faults(event: Object) -> list[Cause]:
    found = [] if event.get("eventTime") is not None else [required("eventTime")]
    kind = event.get("type", "")
    if kind not in ("Normal", "Warning"):
        found.append(invalid("type", "", f"has invalid value: {kind}"))
    unset = [event.get(key) is None for key in ("firstTimestamp", "lastTimestamp")]
    unset += [not event.get("count"), not event.get("source")]
    for key, is_unset in zip(("firstTimestamp", "lastTimestamp", "count", "source"), unset, strict=True):
        if not is_unset:
            found.append(invalid(key, "", "needs to be unset"))
    return found
