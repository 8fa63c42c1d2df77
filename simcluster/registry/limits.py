"""What the LimitRanges of a namespace make of pods and claims: what is left open is filled in, then all is measured.

The rules it keeps: each LimitRange fills in and measures by itself, and the first that refuses is heard; it says all
that it refuses. Where a real server takes resources as they come, they come by name here. Pure.

Source: kubernetes plugin/pkg/admission/limitranger/admission.go (the plug-in LimitRanger).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from math import ceil
from operator import gt, lt
from typing import Any

from simcluster.errors import Forbidden
from simcluster.schema import quantities
from simcluster.store import Store

Object = dict[str, Any]
Amounts = dict[str, str]
ANNOTATION = "kubernetes.io/limit-ranger"
_KINDS = {"containers": "container", "initContainers": "init container"}
_OF_POD = ("cpu", "memory")


def find_ranges(store: Store, namespace: str) -> list[Object]:
    """Return the LimitRanges of a namespace."""
    return [each.object for each in store.list("limitranges", namespace)]


def fill(pod: Object, ranges: Iterable[Object]) -> None:
    """Give a pod's containers the requests and limits that they leave open; an annotation says which."""
    for each in ranges:
        limits, requests = _find_defaults(each)
        done = [
            text
            for kind, shown in _KINDS.items()
            for container in pod["spec"].get(kind, ())
            for text in _complete(container, limits, requests, f"{shown} {container.get('name', '')}")
        ]
        if done:
            annotations = pod["metadata"].get("annotations", {})
            text = f"LimitRanger plugin set: {'; '.join(done)}"
            pod["metadata"]["annotations"] = annotations | {ANNOTATION: text}


def _find_defaults(of_range: Object) -> tuple[Amounts, Amounts]:
    limits: Amounts = {}
    requests: Amounts = {}
    for item in _items(of_range, "Container"):
        limits |= item.get("default", {})
        requests |= item.get("defaultRequest", {})
    return limits, requests


def _complete(container: Object, limits: Amounts, requests: Amounts, shown: str) -> Iterator[str]:
    resources = container.get("resources", {})
    for key, defaults in (("requests", requests), ("limits", limits)):
        given = resources.get(key, {})
        added = {name: amount for name, amount in sorted(defaults.items()) if name not in given}
        if added:
            resources = {**resources, key: given | added}
            yield f"{', '.join(added)} {key.removesuffix('s')} for {shown}"
    container["resources"] = resources


def check_pod(pod: Object, ranges: Iterable[Object]) -> None:
    """Refuse a pod that asks for less or more than a LimitRange allows a container, or all of them together."""
    for each in ranges:
        found: list[str] = []
        for item in each.get("spec", {}).get("limits") or ():
            if item.get("type") == "Container":
                for container in (c for kind in _KINDS for c in pod["spec"].get(kind, ())):
                    resources = container.get("resources", {})
                    found += _measure(item, resources.get("requests", {}), resources.get("limits", {}))
            elif item.get("type") == "Pod":
                found += _measure(item, count(pod["spec"], "requests"), count(pod["spec"], "limits"))
        _refuse("pods", pod, found)


def check_claim(claim: Object, ranges: Iterable[Object]) -> None:
    """Refuse a claim on a smaller or larger volume than a LimitRange allows."""
    asked = claim["spec"].get("resources", {}).get("requests", {})
    for each in ranges:
        found: list[str] = []
        for item in _items(each, "PersistentVolumeClaim"):
            # What a claim is limited to is no part of it.
            found += _apply(item, "min", _find_too_small, asked, {})
            found += _apply(item, "max", _find_too_large_claim, asked, {})
        _refuse("persistentvolumeclaims", claim, found)


def _items(of_range: Object, kind: str) -> list[Object]:
    limits = of_range.get("spec", {}).get("limits") or ()
    return [each for each in limits if each.get("type") == kind]


def _refuse(resource: str, obj: Object, found: list[str]) -> None:
    texts = list(dict.fromkeys(found))
    if texts:
        because = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        raise Forbidden(resource, obj["metadata"]["name"], because)


_Find = Callable[[str, str, str, Amounts, Amounts], str | None]


def _measure(item: Object, requests: Amounts, limits: Amounts) -> list[str]:
    return [
        *_apply(item, "min", _find_too_small, requests, limits),
        *_apply(item, "max", _find_too_large, requests, limits),
        *_apply(item, "maxLimitRequestRatio", _find_too_far, requests, limits),
    ]


def _apply(item: Object, key: str, find: _Find, requests: Amounts, limits: Amounts) -> list[str]:
    """Return what one kind of bound of an item refuses."""
    bounds = sorted(item.get(key, {}).items())
    found = (find(item["type"], name, bound, requests, limits) for name, bound in bounds)
    return [text for text in found if text is not None]


def _find_too_small(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> str | None:
    asked = {"request": requests.get(name), "limit": limits.get(name)}
    return _find_beyond(f"minimum {name} usage per {kind} is {bound}", bound, lt, asked)


def _find_too_large(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> str | None:
    asked = {"limit": limits.get(name), "request": requests.get(name)}
    return _find_beyond(f"maximum {name} usage per {kind} is {bound}", bound, gt, asked)


def _find_too_large_claim(
    kind: str, name: str, bound: str, requests: Amounts, _limits: Amounts
) -> str | None:
    asked = {"request": requests.get(name)}
    return _find_beyond(f"maximum {name} usage per {kind} is {bound}", bound, gt, asked)


def _find_beyond(
    said: str, bound: str, is_beyond: Callable[[int, int], bool], asked: dict[str, str | None]
) -> str | None:
    """Return that the first amount of those asked for is absent, or which is the first beyond a bound."""
    first = next(iter(asked))
    if asked[first] is None:
        return f"{said}.  No {first} is specified"
    edge, *values = _compare(bound, *asked.values())
    for (word, amount), value in zip(asked.items(), values, strict=True):
        if amount is not None and is_beyond(value, edge):
            return f"{said}, but {word} is {amount}"
    return None


def _find_too_far(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> str | None:
    asked, allowed, _ = _compare(requests.get(name), limits.get(name), bound)
    said = f"{name} max limit to request ratio per {kind} is {bound}"
    if not asked:
        return f"{said}, but no request is specified or request is 0"
    if not allowed:
        return f"{said}, but no limit is specified or limit is 0"
    ratio = allowed / asked
    most = ceil(quantities.parse(bound) * 1000)
    return f"{said}, but provided ratio is {ratio:f}" if ratio * 1000 > most else None


def _compare(*amounts: str | None) -> list[int]:
    """Return amounts as whole numbers that can be compared, rounded up; what is absent is 0."""
    values = [Fraction(0) if each is None else quantities.parse(each) for each in amounts]
    fine = all(ceil(each) <= quantities.MOST_IN_THOUSANDTHS for each in values)
    return [ceil(each * 1000) if fine else ceil(each) for each in values]


def count(spec: Object, key: str) -> Amounts:
    """Return the `requests` or `limits` of a pod as a whole: what its containers need at the same time at most."""
    total: Amounts = {}
    for each in spec.get("containers", ()):
        _add(total, each.get("resources", {}).get(key, {}))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for each in spec.get("initContainers", ()):
        asked: Amounts = dict(each.get("resources", {}).get(key, {}))
        if each.get("restartPolicy") == "Always":
            _add(total, asked)
            _add(sidecars, asked)
            asked = sidecars
        else:
            _add(asked, sidecars)
        _raise(peak, asked)
    _raise(total, peak)
    whole = spec.get("resources", {}).get(key, {})
    return total | {name: amount for name, amount in whole.items() if name in _OF_POD}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = quantities.add(total[name], amount) if name in total else amount


def _raise(total: Amounts, other: Amounts) -> None:
    for name, amount in other.items():
        if name not in total or quantities.parse(amount) > quantities.parse(total[name]):
            total[name] = amount
