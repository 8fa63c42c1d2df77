"""A Kubernetes API over plain HTTP: exact statuses, headers and bodies, watches, and waiting by watching.

The rule it keeps: nothing is interpreted that a case might want to look at. What waits, waits for events, never for
a time to pass.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import kubernetes.client
import urllib3

T = TypeVar("T")
Object = dict[str, Any]
TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class RefusedError(AssertionError):
    """A request that a case counts on was refused."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def ok(self) -> Any:
        """The object in it; RefusedError if the answer is not a good one."""
        if not 200 <= self.status < 300:
            raise RefusedError(f"{self.status}: {self.text[:2000]}")
        return self.json

    @property
    def error(self) -> tuple[int, str, str]:
        """Code, reason and message of a Status."""
        status = self.json
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", self.status), (
            status
        )
        return self.status, status.get("reason", ""), status["message"]

    @property
    def causes(self) -> list[tuple[str, str, str]]:
        """The field, reason and message of each cause, in the order of their fields."""
        found = self.json.get("details", {}).get("causes", [])
        return sorted(
            (each.get("field", ""), each.get("reason", ""), each.get("message", "")) for each in found
        )


class Watch:
    """An open watch: an iterator of its events, as they come."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._lines = self._read()

    def _read(self) -> Iterator[Object]:
        rest = b""
        for piece in self._response.stream(None, decode_content=False):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def __iter__(self) -> Iterator[Object]:
        return self._lines

    def next(self) -> Object:
        """The next event; AssertionError if the stream ends first."""
        for event in self._lines:
            return event
        raise AssertionError("the watch ended")

    def take(self, number: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        events = [self.next() for _ in range(number)]
        return [(each["type"], each["object"]["metadata"].get("name", "")) for each in events]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class Client:
    """One user's view of one API server."""

    def __init__(self, configuration: kubernetes.client.Configuration, *, patience_s: float) -> None:
        self.configuration = configuration
        self.patience_s = patience_s
        self.url = configuration.host.rstrip("/")
        bearer = configuration.get_api_key_with_prefix("BearerToken")
        self.headers = {} if bearer is None else {"Authorization": bearer}
        self._pool = urllib3.PoolManager(
            maxsize=8,
            retries=False,
            cert_reqs="CERT_REQUIRED" if configuration.verify_ssl else "CERT_NONE",
            ca_certs=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
        )

    def as_nobody(self) -> Client:
        """The same server, without credentials."""
        return self._with(None)

    def as_bearer(self, token: str) -> Client:
        """The same server, with this token and nothing else."""
        return self._with(f"Bearer {token}")

    def _with(self, authorization: str | None) -> Client:
        other = kubernetes.client.Configuration()
        other.host, other.ssl_ca_cert = self.configuration.host, self.configuration.ssl_ca_cert
        other.verify_ssl = self.configuration.verify_ssl
        if authorization is not None:
            other.api_key = {"BearerToken": authorization}
        return Client(other, patience_s=self.patience_s)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Send a request; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = dict(self.headers) | ({"Content-Type": "application/json"} if data is not None else {})
        answer = self._pool.request(
            method,
            self.url + path + _query(query),
            body=data,
            headers=sent | dict(headers or {}),
            timeout=self.patience_s,
        )
        return Answer(answer.status, answer.headers, answer.data)

    def get(self, path: str, **query: Any) -> Answer:
        return self.send("GET", path, **query)

    def post(self, path: str, body: Any, **query: Any) -> Answer:
        return self.send("POST", path, body, **query)

    def put(self, path: str, body: Any, **query: Any) -> Answer:
        return self.send("PUT", path, body, **query)

    def patch(self, path: str, kind: str, body: Any, **query: Any) -> Answer:
        """`kind` is json, merge, strategic, apply, or a media type."""
        return self.send("PATCH", path, body, headers={"Content-Type": TYPES.get(kind, kind)}, **query)

    def delete(self, path: str, body: Any = None, **query: Any) -> Answer:
        return self.send("DELETE", path, body, **query)

    def watch(self, path: str, *, headers: Mapping[str, str] | None = None, **query: Any) -> Watch:
        """Open a watch; it ends by itself after `timeoutSeconds`, or with the block."""
        asked = {"watch": "1", "timeoutSeconds": int(self.patience_s)} | query
        return Watch(
            self._pool.request(
                "GET",
                self.url + path + _query(asked),
                headers=self.headers | dict(headers or {}),
                preload_content=False,
                timeout=self.patience_s + 5,
            )
        )

    def until(self, path: str, holds: Callable[[list[Object]], T], **selectors: Any) -> T:
        """Watch a collection until `holds` of its objects, and return what that gave; AssertionError if it never does."""
        deadline = time.monotonic() + self.patience_s
        while True:
            listing = self.get(path, **selectors).ok
            seen = {each["metadata"]["name"]: each for each in listing["items"]}
            version = listing["metadata"]["resourceVersion"]
            found = holds(list(seen.values()))
            if found:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(
                    f"not within {self.patience_s:g} s; {path} is\n{json.dumps(seen, indent=1)}"
                )
            with self.watch(
                path, resourceVersion=version, timeoutSeconds=max(1, int(left)), **selectors
            ) as events:
                for event in events:
                    if event["type"] == "ERROR":
                        break
                    name = event["object"]["metadata"]["name"]
                    if event["type"] == "DELETED":
                        seen.pop(name, None)
                    else:
                        seen[name] = event["object"]
                    found = holds(list(seen.values()))
                    if found:
                        return found


def _query(values: Mapping[str, Any]) -> str:
    pairs = [
        (key, str(each).lower() if isinstance(each, bool) else str(each))
        for key, value in values.items()
        for each in (value if isinstance(value, list) else [value])
        if value is not None
    ]
    return f"?{urlencode(pairs)}" if pairs else ""
