"""The EndpointSlices of one Service, asked from the Kubernetes API: one list, or one watch connection.

Rule: every request is bounded in time, and every failure comes out as a DiscoveryError that says what failed,
where, and what to do. A watch never outlives its time by more than the read timeout, so that a half-open
connection is noticed.

Does not retry, with one exception: a 401 makes the client read its credentials again (tokens are rotated) and
ask once more. Does not fold or judge what it reads: JSON objects go out as they came.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

from kube_grpc import rbac
from kube_grpc.access import Access
from kube_grpc.errors import AccessError, DiscoveryError

_USER = re.compile(r'User "([^"]+)"')


class SliceReader:
    """Reads the slices of one Service. `list` and `watch` from one thread; `cancel` from any."""

    def __init__(
        self, access: Access, namespace: str, service: str, *, connect_s: float = 3.0, read_s: float = 10.0
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._service = service
        self._connect_s = connect_s
        self._read_s = read_s
        self._cancelled = threading.Event()
        self._streaming: Any = None

    def __str__(self) -> str:
        return self._describe()

    def list(self) -> tuple[list[dict[str, Any]], str]:
        """All slices, and the revision to watch from. Raises DiscoveryError."""
        response = self._request("list", (self._connect_s, self._read_s))
        body = self._decode(self._read_all(response))
        return body.get("items") or [], str(body["metadata"]["resourceVersion"])

    def watch(self, revision: str, *, duration_s: int) -> Iterator[dict[str, Any]]:
        """Opens one connection; its events, bookmarks included, until the server ends it after about
        `duration_s`.

        Raises DiscoveryError, at once or from the iterator: kind "expired" if the revision is too old (list
        again), "broken" if the connection was cut or fell silent, or as `list`. Ends quietly after `cancel`.
        """
        response = self._request(
            "watch",
            (self._connect_s, duration_s + self._read_s),
            watch=True,
            resource_version=revision,
            timeout_seconds=duration_s,
            allow_watch_bookmarks=True,
        )
        return self._stream(response)

    def _stream(self, response: Any) -> Iterator[dict[str, Any]]:
        self._streaming = response
        try:
            for line in self._lines(response):
                event = self._decode(line)
                if event["type"] == "ERROR":
                    raise self._explain(int(event["object"].get("code") or 500), event["object"], "watch")
                yield event
        finally:
            self._streaming = None
            response.close()  # Not back to the pool: what is left in the pipe belongs to this watch.

    def cancel(self) -> None:
        """End a running watch at once, and any later one before it starts."""
        self._cancelled.set()
        response = self._streaming
        if response is not None:
            # The watch may end by itself between the two lines; then there is nothing left to shut down.
            with contextlib.suppress(ValueError, RuntimeError, OSError):
                response.shutdown()

    def _lines(self, response: Any) -> Iterator[bytes]:
        import urllib3

        buffer = b""
        while not self._cancelled.is_set():
            try:
                chunk = response.read1()
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if self._cancelled.is_set():
                    return
                msg = f"watch of {self._describe()} broke off: {_brief(error)}"
                raise DiscoveryError(msg, kind="broken") from error
            if not chunk:
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from (line for line in lines if line.strip())

    def _request(self, verb: str, timeout: tuple[float, float], **query: Any) -> Any:
        response = self._send(verb, timeout, query)
        if response.status == 401 and self._renew():
            response.close()
            response = self._send(verb, timeout, query)
        if response.status != 200:
            raise self._explain(response.status, self._decode_status(self._read_all(response)), verb)
        return response

    def _renew(self) -> bool:
        try:
            return self._access.renew()
        except AccessError as error:
            raise DiscoveryError(str(error), kind="unauthorized") from error

    def _send(self, verb: str, timeout: tuple[float, float], query: dict[str, Any]) -> Any:
        import urllib3
        from kubernetes import client

        api = client.DiscoveryV1Api(self._access.client)
        try:
            return api.list_namespaced_endpoint_slice(
                self._namespace,
                label_selector=f"kubernetes.io/service-name={self._service}",
                _preload_content=False,
                _request_timeout=timeout,
                **query,
            )
        except (urllib3.exceptions.HTTPError, OSError, client.ApiException) as error:
            # ApiException here is a TLS failure: with _preload_content=False no HTTP status becomes one.
            msg = (
                f"{verb} of {self._describe()}: no answer from {self._access.host}: {_brief(error)}\n"
                f"  do: nothing if the API server is being restarted; else check that it can be reached from here"
            )
            raise DiscoveryError(msg, kind="unreachable") from error

    def _read_all(self, response: Any) -> bytes:
        import urllib3

        try:
            return bytes(response.data)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            msg = f"list of {self._describe()} broke off: {_brief(error)}"
            raise DiscoveryError(msg, kind="unreachable") from error

    def _decode(self, text: bytes) -> dict[str, Any]:
        try:
            decoded = json.loads(text)
        except ValueError as error:
            msg = (
                f"{self._describe()}: {self._access.host} answered something that is not JSON: {text[:80]!r}"
            )
            raise DiscoveryError(msg, kind="answer") from error
        if not isinstance(decoded, dict):
            msg = f"{self._describe()}: {self._access.host} answered something that is not an object: {text[:80]!r}"
            raise DiscoveryError(msg, kind="answer")
        return decoded

    def _decode_status(self, text: bytes) -> dict[str, Any]:
        try:
            decoded = json.loads(text)
        except ValueError:
            return {"message": text[:200].decode("utf-8", "replace")}  # A proxy's error page, say.
        return decoded if isinstance(decoded, dict) else {"message": str(decoded)[:200]}

    def _explain(self, code: int, status: dict[str, Any], verb: str) -> DiscoveryError:
        said = str(status.get("message") or "").strip()
        if code == 410:
            return DiscoveryError(f"{verb} of {self._describe()}: revision too old: {said}", kind="expired")
        if code == 403:
            return self._explain_refusal(said, verb)
        if code == 401:
            msg = (
                f"{verb} of {self._describe()}: {self._access.host} does not accept the credentials (401): {said}\n"
                f"  do: renew the token or certificate that this process uses; it is read again before each attempt"
            )
            return DiscoveryError(msg, kind="unauthorized")
        return DiscoveryError(
            f"{verb} of {self._describe()}: {self._access.host} answered {code}: {said}", kind="answer"
        )

    def _explain_refusal(self, said: str, verb: str) -> DiscoveryError:
        user = _USER.search(said)
        who = user[1] if user is not None else "this client"
        msg = (
            f'{who} may not {verb} endpointslices (API group "discovery.k8s.io") in namespace '
            f'"{self._namespace}" (403): {said}\n'
            f"  needed: verbs list and watch, by a Role in that namespace and a RoleBinding to {who}\n"
            f"  do: apply the Role below, or print it by: python -m kube_grpc rbac {self._service}.{self._namespace}"
        )
        role = rbac.write_role(self._namespace, user[1] if user is not None else None)
        return DiscoveryError(msg, kind="forbidden", remedy=role)

    def _describe(self) -> str:
        return f"EndpointSlices of Service {self._service} in namespace {self._namespace}"


def _brief(error: BaseException) -> str:
    """The innermost reason in one line: urllib3 wraps causes and prints object addresses."""
    cause: BaseException = error
    while (inner := getattr(cause, "reason", None) or cause.__cause__) and isinstance(inner, BaseException):
        cause = inner
    text = re.sub(r"^.*?object at 0x[0-9a-f]+>:? ?", "", str(cause)).strip()
    return (text if text else type(cause).__name__).splitlines()[0]
