"""List and watch against a scripted API server: faults that a healthy one does not have are what is tested here."""

import http.server
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client

from demo_server.reflector import Reflector, Snapshot, Source

WAIT_S = 15.0


def make_object(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **more}


def make_list(version: int, *names: str) -> dict[str, Any]:
    items = [make_object(name, version) for name in names]
    return {"metadata": {"resourceVersion": str(version)}, "items": items}


def make_event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": make_object(name, version)}


GONE = {
    "type": "ERROR",
    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"},
}


@dataclass
class Script:
    """What the server answers, in turn: a status with a body, or a list of watch events after which the stream ends.

    A watch that finds no answer left stays open until the test ends.
    """

    answers: "queue.SimpleQueue[Any]" = field(default_factory=queue.SimpleQueue)
    asked: "queue.SimpleQueue[dict[str, str]]" = field(default_factory=queue.SimpleQueue)
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def add(self, *answers: Any) -> None:
        for answer in answers:
            self.answers.put(answer)


@pytest.fixture
def script() -> Iterator[Script]:
    """A scripted API server on loopback."""
    made = Script()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.put({key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()})
            try:
                status, body = made.answers.get_nowait()
            except queue.Empty:
                made.over.wait()
                return
            self.send_response(status)
            self.end_headers()
            lines = body if isinstance(body, list) else [body]
            for line in lines:
                text = line if isinstance(line, str) else json.dumps(line)
                self.wfile.write(text.encode() + b"\n")

        def log_message(self, *args: object) -> None:
            """Nothing: the test says what went wrong."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    made.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Followed:
    """A running reflector and what it published."""

    reflector: Reflector
    published: "queue.SimpleQueue[Snapshot]"

    def names(self) -> list[str]:
        return sorted(each["metadata"]["name"] for each in self.published.get(timeout=WAIT_S))


@pytest.fixture
def followed(script: Script) -> Iterator[Followed]:
    """A reflector of the scripted server's EndpointSlices, not started yet."""
    configuration = client.Configuration()
    configuration.host = script.url
    configuration.retries = False
    api = client.DiscoveryV1Api(client.ApiClient(configuration))
    published: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
    source = Source("endpointslices", api.list_namespaced_endpoint_slice, "demo", "metadata.name=x")
    reflector = Reflector(source, published.put)
    yield Followed(reflector, published)
    reflector.stop()
    script.over.set()


def test_snapshots_are_full_sets(script: Script, followed: Followed) -> None:
    """Added, changed and deleted objects each give the whole set; a bookmark gives none."""
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    events = [
        make_event("ADDED", "b", 2),
        bookmark,
        make_event("MODIFIED", "a", 10),
        make_event("DELETED", "a", 11),
    ]
    script.add((200, make_list(1, "a")), (200, events))
    followed.reflector.start()
    assert [followed.names() for _ in range(4)] == [["a"], ["a", "b"], ["a", "b"], ["b"]]


def test_watch_is_taken_up_where_it_ended(script: Script, followed: Followed) -> None:
    """A watch that ends goes on from the last version, also a bookmark's, without a new list."""
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    script.add(
        (200, make_list(1, "a")),
        (200, [make_event("ADDED", "b", 2), bookmark]),
        (200, [make_event("ADDED", "c", 10)]),
    )
    followed.reflector.start()
    assert [followed.names() for _ in range(3)] == [["a"], ["a", "b"], ["a", "b", "c"]]
    asked = [script.asked.get(timeout=WAIT_S) for _ in range(3)]
    assert [each.get("resourceVersion") for each in asked] == [None, "1", "9"]
    assert all(each["fieldSelector"] == "metadata.name=x" for each in asked)
    assert asked[1]["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize("gone", [(200, [GONE]), (410, {"kind": "Status", "code": 410})])
def test_expired_watch_lists_again(script: Script, followed: Followed, gone: Any) -> None:
    """A 410, as an event or as an answer, leads to a new list, in which an object deleted meanwhile is gone."""
    script.add(
        (200, make_list(1, "a", "b")),
        gone,
        (200, make_list(20, "b", "c")),
        (200, [make_event("ADDED", "d", 21)]),
    )
    followed.reflector.start()
    assert [followed.names() for _ in range(3)] == [["a", "b"], ["b", "c"], ["b", "c", "d"]]


def test_nothing_is_published_while_the_api_fails(script: Script, followed: Followed) -> None:
    """Errors of the API never become an empty set; after them the copy is current again."""
    script.add((200, make_list(1, "a")), (500, {}), (503, {}), (200, [make_event("ADDED", "b", 2)]))
    followed.reflector.start()
    assert [followed.names() for _ in range(2)] == [["a"], ["a", "b"]]


def test_unreadable_answers_do_not_end_it(script: Script, followed: Followed) -> None:
    """What no API server sends, in a list or a watch, is followed by a new list and not by silence."""
    script.add((200, "no json"), (200, {"items": []}), (200, make_list(1, "a")), (200, ['{"type": "ADDED"}']))
    script.add((200, make_list(5, "b")))
    followed.reflector.start()
    assert [followed.names() for _ in range(2)] == [["a"], ["b"]]


def test_refusal_is_told_once_with_what_is_missing(
    script: Script, followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    """A 403 names what can not be followed and the Role, once and not at each retry."""
    script.add((403, {}), (403, {}), (200, make_list(1, "a")))
    followed.reflector.start()
    assert followed.names() == ["a"]
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "cannot follow endpointslices in demo: 403 Forbidden; the gateway's Role must let it list and watch them"
    ]
