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


def test_a_bookmark_of_a_table_is_a_table_of_an_object_without_a_name(plain: Plain, namespace: str) -> None:
    """As on a real server: one row, whose object carries the annotation; of every kind."""
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    query = "watch=1&timeoutSeconds=1&allowWatchBookmarks=true"
    for path in (f"/api/v1/namespaces/{namespace}/pods", "/apis/batch/v1/jobs", "/api/v1/persistentvolumes"):
        event = list(lines(plain.open("GET", f"{path}?{query}", Accept=accept)))[-1]
        [row] = event["object"]["rows"]

        assert (event["type"], event["object"]["kind"], row["cells"][0]) == ("BOOKMARK", "Table", "")
        assert row["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_of_a_revision_to_come_waits_for_it(cluster: Running, plain: Plain, namespace: str) -> None:
    """What is written before that revision is not sent, what comes after it is."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    coming = cluster.registry.revision + 2
    watch = lines(plain.open("GET", f"{path}?watch=1&timeoutSeconds=20&resourceVersion={coming}"))
    made = [plain.ask("POST", path, config_map(name))[1]["metadata"]["resourceVersion"] for name in "abc"]

    assert int(made[0]) < coming
    assert next(watch)["object"]["metadata"]["resourceVersion"] == next(
        each for each in made if int(each) > coming
    )


def test_a_streamed_list_of_a_revision_to_come_ends_with_504(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """As an ERROR event in a good answer, after the patience of three seconds."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    coming = cluster.registry.revision + 1000
    [event] = list(lines(plain.open("GET", f"{path}?{query}&resourceVersion={coming}")))

    assert (event["type"], event["object"]["code"]) == ("ERROR", 504)
    assert event["object"]["details"]["retryAfterSeconds"] == 1


def test_the_old_path_of_watches_is_served(plain: Plain, namespace: str) -> None:
    """/api/v1/watch/…, of a collection and of one object."""
    for name in "ab":
        plain.ask("POST", f"/api/v1/namespaces/{namespace}/configmaps", config_map(name))
    path = f"/api/v1/watch/namespaces/{namespace}/configmaps"
    many = lines(plain.open("GET", f"{path}?timeoutSeconds=1"))
    one = lines(plain.open("GET", f"{path}/b?timeoutSeconds=1"))

    assert [each["object"]["metadata"]["name"] for each in many] == ["a", "b"]
    assert [each["object"]["metadata"]["name"] for each in one] == ["b"]


def test_an_update_that_changes_nothing_is_no_event(plain: Plain, namespace: str) -> None:
    """Neither a new revision nor an event; the next change comes as the next event."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = plain.ask("POST", path, config_map("a", x="1"))[1]
    revision = made["metadata"]["resourceVersion"]
    watch = lines(plain.open("GET", f"{path}?watch=1&timeoutSeconds=20&resourceVersion={revision}"))
    merge = "application/merge-patch+json"
    same = plain.ask("PATCH", f"{path}/a", {"data": {"x": "1"}}, Content_Type=merge)[1]
    plain.ask("PATCH", f"{path}/a", {"data": {"x": "2"}}, Content_Type=merge)

    assert same["metadata"]["resourceVersion"] == revision
    assert next(watch)["object"]["data"] == {"x": "2"}


def test_a_client_that_goes_away_leaves_nothing_behind(
    cluster: Running, plain: Plain, namespace: str
) -> None:
    """Its subscription is closed."""
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1"
    before = cluster.server.watches.count
    answer = plain.open("GET", path)
    assert cluster.server.watches.count == before + 1
    answer.close()
    deadline = time.monotonic() + 5
    while cluster.server.watches.count > before:
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
