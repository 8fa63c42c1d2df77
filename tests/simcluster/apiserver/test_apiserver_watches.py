"""Watches over HTTP."""

from __future__ import annotations

import asyncio
import threading
import time

import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import kubernetes.stream
import kubernetes.watch
from api_process import Plain, Running, config_map, lines


def test_a_watch_by_selector_sees_objects_come_and_go(plain: Plain, namespace: str) -> None:
    """An object that starts to match is ADDED, one that stops is DELETED with its last matching state."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plain.ask("POST", path, config_map("a"))
    revision = plain.ask("GET", path)[1]["metadata"]["resourceVersion"]
    watch = lines(
        plain.open(
            "GET", f"{path}?watch=1&labelSelector=color=red&resourceVersion={revision}&timeoutSeconds=5"
        )
    )
    merge = "application/merge-patch+json"
    for color in ("blue", "red", "red", "blue"):
        body = {"metadata": {"labels": {"color": color}}, "data": {"n": f"{time.time()}"}}
        plain.ask("PATCH", f"{path}/a", body, Content_Type=merge)
    seen = [next(watch) for _ in range(3)]

    assert [each["type"] for each in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert seen[2]["object"]["metadata"]["labels"]["color"] == "red"
    revisions = [int(each["object"]["metadata"]["resourceVersion"]) for each in seen]
    assert revisions == sorted(set(revisions))


def test_a_watch_without_a_revision_begins_with_what_is_there(
    core: kubernetes.client.CoreV1Api, namespace: str
) -> None:
    """The client's own watch: present objects, then changes; it ends after the time asked for."""
    core.create_namespaced_config_map(namespace, config_map("a"))
    timer = threading.Timer(0.3, core.create_namespaced_config_map, (namespace, config_map("b")))
    timer.start()
    watch = kubernetes.watch.Watch()
    stream = watch.stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
    seen = [(each["type"], each["object"].metadata.name) for each in stream]
    timer.join()

    assert seen == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_from_a_revision_that_is_gone_ends_with_410(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """An ERROR event with a Status inside a good answer, as a real server does it."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plain.ask("POST", path, config_map("a"))
    newest = cluster.registry.revision
    cluster.call(cluster.registry.compact, newest)
    answer = plain.open("GET", f"{path}?watch=1&resourceVersion={newest - 1}")
    events = list(lines(answer))

    assert answer.status == 200
    assert [each["type"] for each in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"] == f"too old resource version: {newest - 1} ({newest})"


def test_initial_events_end_with_a_bookmark(plain: Plain, namespace: str) -> None:
    """What streaming lists ask for: objects, then a bookmark that says so, then a bookmark before the end."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plain.ask("POST", path, config_map("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=3"
    events = list(lines(plain.open("GET", f"{path}?{query}")))

    assert [each["type"] for each in events] == ["ADDED", "BOOKMARK", "BOOKMARK"]
    marked = events[1]["object"]
    assert marked["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (marked["kind"], "annotations" in events[2]["object"]["metadata"]) == ("ConfigMap", False)


def test_a_watch_of_tables_names_the_columns_once(plain: Plain, namespace: str) -> None:
    """As `kubectl get -w` needs it."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in "ab":
        plain.ask("POST", path, config_map(name))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    events = list(lines(plain.open("GET", f"{path}?watch=1&timeoutSeconds=1", Accept=accept)))

    assert [each["object"]["columnDefinitions"] is None for each in events] == [False, True]
    assert events[1]["object"]["rows"][0]["cells"][0] == "b"


def test_a_client_that_goes_away_leaves_nothing_behind(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """Its subscription is closed."""
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1"
    before = len(cluster.server._objects._watching)
    answer = plain.open("GET", path)
    assert len(cluster.server._objects._watching) == before + 1
    answer.close()
    deadline = time.monotonic() + 5
    while len(cluster.server._objects._watching) > before:
        assert time.monotonic() < deadline
        # A write makes the server notice at the latest.
        plain.ask("POST", path.partition("?")[0], config_map(f"c{time.monotonic_ns()}"))


def test_the_asynchronous_client_works_too(cluster: Running, namespace: str) -> None:
    """Written, listed and watched with `kubernetes.aio`."""
    import kubernetes.aio.client
    import kubernetes.aio.config
    import kubernetes.aio.watch

    async def run() -> list[str]:
        configuration = kubernetes.aio.client.Configuration()
        await kubernetes.aio.config.load_kube_config(
            str(cluster.kubeconfig), client_configuration=configuration
        )
        async with kubernetes.aio.client.ApiClient(configuration) as api:
            core = kubernetes.aio.client.CoreV1Api(api)
            await core.create_namespaced_config_map(namespace, config_map("a"))
            async with kubernetes.aio.watch.Watch() as watch:
                stream = watch.stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
                return [event["object"].metadata.name async for event in stream]

    assert asyncio.run(run()) == ["a"]
