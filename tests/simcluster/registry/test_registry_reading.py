"""Binding, Services, lists and watches."""

from __future__ import annotations

import asyncio

import pytest
from registry_objects import causes, pod, service

from simcluster.errors import (
    Conflict,
    Expired,
    Invalid,
    TooLargeVersion,
)
from simcluster.registry import Registry
from simcluster.selectors import parse


def test_a_pod_is_bound_once(registry: Registry) -> None:
    """The node's name and the condition; a second binding is a conflict with the real text."""
    registry.create("pods", "default", pod())
    bound = registry.bind("default", "p", "n1")

    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0] | {"lastTransitionTime": ""} == {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": "",
    }
    with pytest.raises(Conflict, match='pod p is already assigned to node "n1"'):
        registry.bind("default", "p", "n2")


def test_a_service_has_its_address_from_the_pool_until_it_goes(registry: Registry) -> None:
    """A headless one has none; the one asked for is given; an address is kept over updates and given back."""
    made = registry.create("services", "default", service())
    headless = registry.create("services", "default", service("h", clusterIP="None"))
    chosen = registry.create("services", "default", service("c", clusterIP="127.1.0.9"))
    updated = registry.update("services", "default", "s", service(selector={"a": "b"}))

    assert made["spec"]["clusterIPs"] == [made["spec"]["clusterIP"]] == ["127.1.0.1"]
    assert headless["spec"]["clusterIPs"] == ["None"]
    assert chosen["spec"]["clusterIP"] == "127.1.0.9"
    assert updated["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    assert registry.addresses is not None
    registry.delete("services", "default", "s")
    assert registry.addresses.taken == {"127.1.0.9"}  # type: ignore[attr-defined]


def test_a_service_that_becomes_a_name_gives_its_address_back(registry: Registry) -> None:
    """An ExternalName has no address; one that becomes a ClusterIP again gets one."""
    registry.create("services", "default", service())
    named = {"spec": {"type": "ExternalName", "externalName": "a.example.test"}}
    external = registry.patch("services", "default", "s", named, "merge")
    assert registry.addresses is not None
    assert ("clusterIP" in external["spec"], registry.addresses.taken) == (False, set())  # type: ignore[attr-defined]

    again = {"spec": {"type": "ClusterIP", "externalName": None}}
    assert registry.patch("services", "default", "s", again, "merge")["spec"]["clusterIP"] == "127.1.0.1"


def test_an_address_that_can_not_be_had_is_refused_with_the_real_text(registry: Registry) -> None:
    """Taken: 422. Changed: 422. Nothing is stored or taken."""
    registry.create("services", "default", service(clusterIP="127.1.0.9"))
    with pytest.raises(Invalid) as taken:
        registry.create("services", "default", service("t", clusterIP="127.1.0.9"))

    assert causes(taken) == [
        (
            "spec.clusterIPs",
            'Invalid value: ["127.1.0.9"]: failed to allocate IP 127.1.0.9: provided IP is already allocated',
        )
    ]
    with pytest.raises(Invalid, match=r"spec.clusterIPs\[0\]: Invalid value: .* may not change once set"):
        registry.patch("services", "default", "s", {"spec": {"clusterIP": "127.1.0.8"}}, "merge")


def test_ports_of_a_service_need_names_once_there_are_two(registry: Registry) -> None:
    """The real fields and texts."""
    with pytest.raises(Invalid) as caught:
        registry.create("services", "default", service(ports=[{"port": 80}, {"port": 81}]))

    assert causes(caught) == [
        ("spec.ports[0].name", "Required value"),
        ("spec.ports[1].name", "Required value"),
    ]


def test_lists_are_by_name_and_can_be_selected(registry: Registry) -> None:
    """By namespace and by selector; with the revision they are of."""
    registry.create("namespaces", None, {"metadata": {"name": "other"}})
    for name, namespace in (("b", "default"), ("a", "default"), ("c", "other")):
        registry.create("pods", namespace, pod(name))

    objects, revision = registry.list("pods")
    assert [each["metadata"]["name"] for each in objects] == ["a", "b", "c"]
    assert revision == registry.revision
    assert len(registry.list("pods", "other")[0]) == 1
    assert len(registry.list("pods", None, parse("", "metadata.name!=a", "pods"))[0]) == 2


def test_a_watch_gives_what_is_there_then_what_comes(registry: Registry) -> None:
    """From nothing, from a revision, in one namespace; closed, it ends."""

    async def follow() -> list[tuple[str, str]]:
        registry.create("pods", "default", pod("a"))
        since = registry.revision
        everything, later = registry.watch("pods", "default"), registry.watch("pods", since=since)
        elsewhere = registry.watch("pods", "other")
        registry.create("pods", "default", pod("b"))
        waiting = asyncio.create_task(anext(later))
        registry.delete("pods", "default", "a")
        first = await waiting
        for each in (everything, later, elsewhere):
            each.close()
        assert [event async for event in elsewhere] == []
        rest = [event async for event in later]
        assert [event.object["metadata"]["name"] for event in (first, *rest)] == ["b", "a"]
        return [(event.type, event.object["metadata"]["name"]) async for event in everything]

    assert asyncio.run(follow()) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


def test_a_watch_from_the_past_that_is_gone_or_the_future_is_refused(registry: Registry) -> None:
    """410 and 504, with the real texts."""
    for name in "abc":
        registry.create("pods", "default", pod(name))
    registry.compact(2)

    with pytest.raises(Expired, match=r"too old resource version: 1 \(2\)"):
        registry.watch("pods", since=1)
    with pytest.raises(TooLargeVersion, match=r"^Timeout: Too large resource version: 99, current: 4$"):
        registry.watch("pods", since=99)


def test_a_reader_that_lags_is_cut_off_and_holds_up_nobody(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was sent it can still read; then it is told to begin anew."""
    monkeypatch.setattr("simcluster.registry.subscriptions.LAGGING", 2)

    async def follow() -> None:
        subscription = registry.watch("pods")
        for name in "abc":
            registry.create("pods", "default", pod(name))
        await anext(subscription)
        await anext(subscription)
        with pytest.raises(Expired):
            await anext(subscription)

    asyncio.run(follow())
