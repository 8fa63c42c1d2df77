"""LimitRanges: what they fill in, what they measure, and that both fit together. tests/conformance has the texts."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from registry_objects import CATALOGUE, Clock, pod

from simcluster.errors import Forbidden, Invalid
from simcluster.registry import Registry, limits
from simcluster.schema import quantities

Object = dict[str, Any]
NAMES = ("cpu", "memory")
AMOUNTS = st.sampled_from(
    ["0", "1m", "100m", "250m", "1", "1500m", "2", "4", "1k", "1Ki", "64Mi", "1Gi", "3e2"]
)
LISTS = st.dictionaries(st.sampled_from(NAMES), AMOUNTS)
RESOURCES = st.fixed_dictionaries({}, optional={"requests": LISTS, "limits": LISTS})


def new_registry() -> Registry:
    """A registry with the namespace `default`."""
    made = Registry(CATALOGUE, clock=Clock(), chance=random.Random(1))
    made.create("namespaces", None, {"metadata": {"name": "default"}})
    return made


def limit_range(*items: Object) -> Object:
    """A LimitRange."""
    return {"metadata": {"name": "bounds"}, "spec": {"limits": list(items)}}


def containers(*resources: Object, **more: Any) -> Object:
    """A pod with one container for each."""
    each = [{"name": f"c{n}", "image": "i", "resources": one} for n, one in enumerate(resources)]
    return {"metadata": {"name": "p"}, "spec": {"containers": each, **more}}


def is_refused(made: Object, *items: Object) -> bool:
    """Whether a LimitRange refuses a pod."""
    try:
        limits.check_pod(made, [limit_range(*items)])
    except Forbidden:
        return True
    return False


@settings(deadline=None)  # a busy machine is no failure
@given(RESOURCES, LISTS, LISTS)
def test_filling_in(given_: Object, default: Object, request: Object) -> None:
    """What is said stays, what is open becomes the default, the note says just that, and a second time does nothing."""
    made = containers(given_)
    ranges = [limit_range({"type": "Container", "default": default, "defaultRequest": request})]
    limits.fill(made, ranges)
    [filled] = made["spec"]["containers"]
    added = []
    for key, defaults in (("requests", request), ("limits", default)):
        said = given_.get(key, {})
        assert filled["resources"].get(key, {}) == defaults | said
        names = sorted(defaults.keys() - said.keys())
        added += [f"{', '.join(names)} {key[:-1]} for container c0"] if names else []
    note = made["metadata"].get("annotations", {}).get(limits.ANNOTATION)
    assert note == (f"LimitRanger plugin set: {'; '.join(added)}" if added else None)
    made["metadata"].pop("annotations", None)
    limits.fill(made, ranges)
    assert "annotations" not in made["metadata"]


@settings(deadline=None)  # a busy machine is no failure
@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_measuring(request: str, limit: str, least: str, most: str) -> None:
    """A container is refused if, and only if, one of its amounts is below the least or above the most."""
    made = containers({"requests": {"cpu": request}, "limits": {"cpu": limit}})
    values = [quantities.parse(each) for each in (request, limit)]
    is_out = min(values) < quantities.parse(least) or max(values) > quantities.parse(most)
    assert is_refused(made, {"type": "Container", "min": {"cpu": least}, "max": {"cpu": most}}) == is_out


@settings(deadline=None)  # a busy machine is no failure
@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_measuring_ratios(request: str, limit: str, ratio: str) -> None:
    """A ratio is kept by amounts that are not zero and not too far apart."""
    made = containers({"requests": {"cpu": request}, "limits": {"cpu": limit}})
    asked, allowed, most = (quantities.parse(each) for each in (request, limit, ratio))
    is_out = not asked or not allowed or allowed > most * asked
    assert is_refused(made, {"type": "Container", "maxLimitRequestRatio": {"cpu": ratio}}) == is_out


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(RESOURCES, min_size=1, max_size=3), st.lists(st.tuples(RESOURCES, st.booleans()), max_size=4))
def test_counting_a_pod(main: list[Object], before: list[tuple[Object, bool]]) -> None:
    """Containers and sidecars together, or an init container beside the sidecars before it: whichever is more."""
    init = [
        {"name": f"i{n}", "image": "i", "resources": each} | ({"restartPolicy": "Always"} if beside else {})
        for n, (each, beside) in enumerate(before)
    ]
    spec = containers(*main, initContainers=init)["spec"]
    for key in ("requests", "limits"):
        found = limits.count(spec, key)
        for name in NAMES:
            values = [quantities.parse(each.get(key, {}).get(name, "0")) for each in main]
            sidecars = peak = Fraction(0)
            for each, beside in before:
                value = quantities.parse(each.get(key, {}).get(name, "0"))
                sidecars += value if beside else 0
                peak = max(peak, sidecars if beside else sidecars + value)
            assert quantities.parse(found.get(name, "0")) == max(sum(values) + sidecars, peak)


@settings(deadline=None)  # a busy machine is no failure
@given(AMOUNTS, AMOUNTS)
def test_adding(one: str, other: str) -> None:
    """A sum is worth both, and written as its first part that is not zero."""
    total = quantities.add(one, other)
    assert quantities.parse(total) == quantities.parse(one) + quantities.parse(other)
    assert quantities.shorten(total) == total


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [
        ("600Mi", "600Mi", "1200Mi"),
        ("500m", "1Gi", "1073741824500m"),
        ("0", "1Gi", "1Gi"),
        ("1M", "1Mi", "2048576"),
    ],
)
def test_how_sums_are_written(one: str, other: str, total: str) -> None:
    """In units of the first, where that is not nothing."""
    assert quantities.add(one, other) == total


@settings(deadline=None)  # a busy machine is no failure
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("min", "max", "default", "defaultRequest"), LISTS)))
def test_what_is_filled_in_is_within_bounds(bounds: Object) -> None:
    """A LimitRange that is accepted, without a ratio, accepts a container that says nothing."""
    registry = new_registry()
    try:
        registry.create("limitranges", "default", limit_range({"type": "Container"} | bounds))
    except Invalid:
        assume(False)
    made = registry.create("pods", "default", pod())
    [container] = made["spec"]["containers"]
    assert container["resources"].get("limits", {}).keys() >= bounds.get("max", {}).keys()
    assert container["resources"].get("requests", {}).keys() >= bounds.get("min", {}).keys()


def test_a_namespace_without_limit_ranges(registry: Registry) -> None:
    """Its pods are stored as they are sent, and those of another namespace's LimitRange do not concern them."""
    registry.create("namespaces", None, {"metadata": {"name": "other"}})
    registry.create("limitranges", "other", limit_range({"type": "Container", "max": {"cpu": "1m"}}))
    made = registry.create("pods", "default", pod())
    assert made["spec"]["containers"][0]["resources"] == {}
    assert registry.create("pods", "other", pod())["spec"]["containers"][0]["resources"]["limits"] == {
        "cpu": "1m"
    }


def test_what_is_refused_is_not_stored(registry: Registry) -> None:
    """Nothing of a refused pod is left."""
    registry.create("limitranges", "default", limit_range({"type": "Pod", "max": {"cpu": "1"}}))
    with pytest.raises(
        Forbidden, match=r'pods "p" is forbidden: maximum cpu usage per Pod is 1\.  No limit is specified'
    ):
        registry.create("pods", "default", pod())
    assert registry.list("pods", "default")[0] == []
