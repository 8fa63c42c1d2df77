"""The `kubernetes` client, unmodified: its informer, its dynamic clients, and Events in both versions."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import kubernetes.client
import kubernetes.dynamic
import kubernetes.informer
from api_process import Running, config_map

_WAIT_S = 20.0


def test_an_informer_follows_what_happens(
    cluster: Running, core: kubernetes.client.CoreV1Api, namespace: str
) -> None:
    """It lists what is there, tells of what comes, changes and goes, and its cache holds the rest."""
    cluster.call(cluster.registry.create, "configmaps", namespace, config_map("there", a="1"))
    seen: queue.Queue[tuple[str, str]] = queue.Queue()
    informer = kubernetes.informer.SharedInformer(core.list_namespaced_config_map, namespace=namespace)
    for kind in ("ADDED", "MODIFIED", "DELETED"):

        def tell(obj: Any, kind: str = kind) -> None:
            seen.put((kind, obj.metadata.name))

        informer.add_event_handler(kind, tell)
    informer.start()
    try:
        assert seen.get(timeout=_WAIT_S) == ("ADDED", "there")
        core.create_namespaced_config_map(namespace, config_map("new"))
        assert seen.get(timeout=_WAIT_S) == ("ADDED", "new")
        core.patch_namespaced_config_map("there", namespace, {"data": {"a": "2"}})
        assert seen.get(timeout=_WAIT_S) == ("MODIFIED", "there")
        core.delete_namespaced_config_map("new", namespace)
        assert seen.get(timeout=_WAIT_S) == ("DELETED", "new")
        assert [each.data for each in informer.cache.list()] == [{"a": "2"}]
    finally:
        informer.stop()


def test_the_dynamic_client_lists_every_kind(
    cluster: Running, client: kubernetes.client.ApiClient, namespace: str
) -> None:
    """Each kind that is stored is found by its version and name, and lists."""
    dynamic = kubernetes.dynamic.DynamicClient(client)
    for resource in cluster.registry.catalogue:
        if resource.stored:
            found = dynamic.resources.get(api_version=resource.api_version, name=resource.plural)
            assert found.get().kind == f"{resource.kind}List"


def test_both_versions_of_events_are_typed(
    cluster: Running, client: kubernetes.client.ApiClient, namespace: str
) -> None:
    """An Event written as events.k8s.io/v1 is read as v1, and deleted there."""
    core, events = kubernetes.client.CoreV1Api(client), kubernetes.client.EventsV1Api(client)
    body = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": namespace},
        "eventTime": "2026-11-21T14:31:30.123456Z",
        "reason": "R",
        "action": "A",
        "type": "Normal",
        "note": "hello",
        "reportingController": "x.y/z",
        "reportingInstance": "i",
    }
    events.create_namespaced_event(namespace, body)

    seen = core.read_namespaced_event("e", namespace)
    assert (seen.message, seen.involved_object.name, seen.reporting_component) == ("hello", "p", "x.y/z")
    assert [each.note for each in events.list_namespaced_event(namespace).items] == ["hello"]
    core.delete_namespaced_event("e", namespace)
    assert events.list_namespaced_event(namespace).items == []


def test_the_aio_dynamic_client_writes_and_reads(cluster: Running, namespace: str) -> None:
    """Created, patched, read, listed and deleted with `kubernetes.aio.dynamic`."""
    import kubernetes.aio.client
    import kubernetes.aio.config
    import kubernetes.aio.dynamic

    async def story() -> str:
        api = await kubernetes.aio.config.new_client_from_config(str(cluster.kubeconfig))
        async with api:
            dynamic = await kubernetes.aio.dynamic.DynamicClient(api)
            maps = await dynamic.resources.get(api_version="v1", kind="ConfigMap")
            await maps.create(body=config_map("a", k="1"), namespace=namespace)
            merge = "application/merge-patch+json"
            patch = {"data": {"k": "2"}}
            await maps.patch(name="a", namespace=namespace, body=patch, content_type=merge)
            found = await maps.get(name="a", namespace=namespace)
            await maps.delete(name="a", namespace=namespace)
            assert (await maps.get(namespace=namespace)).items == []
            return str(found.data.k)

    assert asyncio.run(story()) == "2"
