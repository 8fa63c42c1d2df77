"""Keeps a copy of one list of API objects current: list, watch, and again.

The rule it keeps: every snapshot handed out is the full set, never a difference, and only after a complete
list. A watch that ends is taken up where it ended; a 410 leads to a new list; an error leads to a pause that
grows to half a minute. While the API is away the last snapshot stands.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import watch
from kubernetes.client import ApiException

from demo_server.ingress_rules import Object

WATCH_S = 240
"""How long the API server keeps one watch open; then it is taken up again."""
READ_TIMEOUT_S = WATCH_S + 15
"""A watch that is half open is given up after this."""
CONNECT_TIMEOUT_S = 5
PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0

Snapshot = tuple[Object, ...]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """What to follow. `call` is a `list_namespaced_…` of the Kubernetes client; `name` is for messages."""

    name: str
    call: Callable[..., Any]
    namespace: str
    field_selector: str | None = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of both list and watch."""
        selector = {} if self.field_selector is None else {"field_selector": self.field_selector}
        return {"namespace": self.namespace, **selector}


class Reflector:
    """Follows one Source from a thread of its own and hands each new Snapshot to `publish` there."""

    def __init__(self, source: Source, publish: Callable[[Snapshot], None]) -> None:
        self._source = source
        self._publish = publish
        self._objects: dict[str, Object] = {}
        self._version: str | None = None
        self._stopped = threading.Event()
        self._watch = watch.Watch()
        self._failures = 0
        self._told = ""
        self._thread = threading.Thread(target=self._run, name=f"reflector {source.name}", daemon=True)

    def start(self) -> None:
        """Begin; the first snapshot comes when the first list succeeded."""
        self._thread.start()

    def stop(self) -> None:
        """End without waiting for the thread, which may be inside a request."""
        self._stopped.set()
        self._watch.stop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            began_s = time.monotonic()
            try:
                if self._version is None:
                    self._list()
                self._follow()
            except ApiException as error:
                self._note_refusal(error)
            except (OSError, urllib3.exceptions.HTTPError) as error:
                self._note_failure(f"{type(error).__name__}: {error}")
            except (ValueError, LookupError, TypeError) as error:
                # Not what an API server sends. A thread that died of it would leave a stale copy for ever.
                self._version = None
                self._note_failure(f"unreadable answer: {type(error).__name__}: {error}")
            if time.monotonic() - began_s < PAUSE_S or self._failures:
                self._stopped.wait(self._pause_s())

    def _list(self) -> None:
        response = self._source.call(
            **self._source.arguments(),
            _preload_content=False,
            _request_timeout=(CONNECT_TIMEOUT_S, CONNECT_TIMEOUT_S * 6),
        )
        found = json.loads(response.data)
        self._objects = {_key(each): each for each in found.get("items") or ()}
        self._version = found["metadata"]["resourceVersion"]
        self._succeed()
        self._publish(tuple(self._objects.values()))

    def _follow(self) -> None:
        stream = self._watch.stream(
            self._source.call,
            **self._source.arguments(),
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_S,
            deserialize=False,
            _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        )
        for event in stream:
            if self._stopped.is_set():
                return
            self._succeed()
            self._apply(event["type"], event["object"])

    def _apply(self, kind: str, changed: Mapping[str, Any]) -> None:
        self._version = changed["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._objects.pop(_key(changed), None)
        else:
            self._objects[_key(changed)] = changed
        self._publish(tuple(self._objects.values()))

    def _note_refusal(self, error: ApiException) -> None:
        if error.status == 410:
            log.info("%s: the watch expired, listing again", self._source.name)
            self._version = None
            return
        hint = ""
        if error.status == 403:
            hint = "; the gateway's Role must let it list and watch them"
        self._note_failure(f"{error.status} {error.reason}{hint}")

    def _note_failure(self, what: str) -> None:
        self._failures += 1
        # Told when it changes, not at each retry; that a request ends when it is stopped is no failure.
        if what != self._told and not self._stopped.is_set():
            log.warning("cannot follow %s in %s: %s", self._source.name, self._source.namespace, what)
        self._told = what

    def _succeed(self) -> None:
        if self._failures:
            log.info("following %s again", self._source.name)
        self._failures = 0
        self._told = ""

    def _pause_s(self) -> float:
        # Jitter, so that a thousand clients do not come back at the same moment.
        longest = min(LONGEST_PAUSE_S, PAUSE_S * 2.0 ** min(self._failures, 16))
        return random.uniform(longest / 2, longest)  # noqa: S311 - no secret depends on it


def _key(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["name"])
