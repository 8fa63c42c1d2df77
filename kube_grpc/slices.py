"""The EndpointSlices of one Service, asked from the Kubernetes API: one list, or one watch connection.

Rule: every request is bounded in time, and every failure comes out as a DiscoveryError that says what failed,
where, and what to do. A watch that is silent for longer than it was to last, and then some, has broken: so that a
half-open connection is noticed.

Does not retry, with two exceptions: a 401 makes the client read its credentials again (tokens are rotated)
and ask once more; and a kept-alive connection that turns out to be closed is replaced.
Does not fold or judge what it reads: JSON objects go out as they came.
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
    """Reads the slices of one Service. `list` and `watch` from one thread; `cancel` and `cut` from any."""

    def __init__(
        self,
        access: Access,
        namespace: str,
        service: str,
        *,
        connect_s: float = 3.0,
        read_s: float = 10.0,
        late_s: float = 3.0,
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._service = service
        self._connect_s = connect_s
        self._read_s = read_s  # For a list.
        self._late_s = late_s  # How much later than asked for a watch may end.
        self._cancelled = threading.Event()
        self._streaming: Any = None

    def __str__(self) -> str:
        return self._describe()

    def list(self) -> tuple[list[dict[str, Any]], str]:
        """All slices, and the revision to watch from. Raises DiscoveryError."""
        text = self._read_all(self._request("list", (self._connect_s, self._read_s)))
        if isinstance(text, DiscoveryError):
            raise text
        body = self._decode(text)
        if not isinstance(body.get("metadata"), dict) or "resourceVersion" not in body["metadata"]:
            msg = f"{self._describe()}: {self._access.host} answered something that is not a list: {text[:80]!r}"
            raise DiscoveryError(msg, kind="answer")
        return body.get("items") or [], str(body["metadata"]["resourceVersion"])

    def watch(self, revision: str, *, duration_s: int) -> Iterator[dict[str, Any]]:
        """Opens one connection; its events, bookmarks included, until the server ends it after about
        `duration_s`.

        Raises DiscoveryError, at once or from the iterator: kind "expired" if the revision is too old (list
        again), "broken" if the connection was cut or fell silent, or as `list`. Ends quietly after `cancel`.
        """
        response = self._request(
            "watch",
            (self._connect_s, duration_s + self._late_s),
            watch=True,
            resource_version=revision,
            timeout_seconds=duration_s,
            allow_watch_bookmarks=True,
        )
        self._streaming = response  # Here, or a `cut` before the first read would be lost.
        return self._stream(response)

    def _stream(self, response: Any) -> Iterator[dict[str, Any]]:
        try:
            for line in self._lines(response):
                event = self._decode(line)
                if event["type"] == "ERROR":
                    raise self._explain(int(event["object"].get("code") or 500), event["object"], "watch")
                yield event
        finally:
            self._streaming = None
            # One that has ended went back to the pool, for the next request; of others the rest is not to be read.
            response.close()

    def cancel(self) -> None:
        """End a running watch at once, and any later one before it starts."""
        self._cancelled.set()
        self.cut()

    def cut(self) -> None:
        """End a running watch at once."""
        response = self._streaming
        if response is not None:
            # The watch may end by itself between the two lines; then there is nothing left to shut down.
            with contextlib.suppress(ValueError, RuntimeError, OSError):
                response.shutdown()

    def _lines(self, response: Any) -> Iterator[bytes]:
        buffer = b""
        while not self._cancelled.is_set():
            chunk = self._read_chunk(response)
            if isinstance(chunk, DiscoveryError):
                if self._cancelled.is_set():
                    return
                try:
                    raise chunk
                finally:
                    del chunk  # It would hold this frame, which would hold it, and both the connection.
            if not chunk:
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from (line for line in lines if line.strip())

    # Errors are returned and raised by the caller, outside of `except`: they are kept for messages, and with
    # the library's own errors in their context they would keep its connections open.

    def _read_chunk(self, response: Any) -> bytes | DiscoveryError:
        import urllib3

        try:
            return bytes(response.read1())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return DiscoveryError(f"watch of {self._describe()} broke off: {_brief(error)}", kind="broken")

    def _request(self, verb: str, timeout: tuple[float, float], **query: Any) -> Any:
        outcome = self._send(verb, timeout, query)
        if isinstance(outcome, DiscoveryError) and outcome.kind == "unauthorized" and self._renew():
            outcome = self._send(verb, timeout, query)
        if isinstance(outcome, DiscoveryError):
            raise outcome
        return outcome

    def _renew(self) -> bool:
        try:
            return self._access.renew()
        except AccessError as error:
            raise DiscoveryError(str(error), kind="unauthorized") from error

    def _send(self, verb: str, timeout: tuple[float, float], query: dict[str, Any]) -> Any:
        """The response, status 200, or a DiscoveryError."""
        import urllib3
        from kubernetes import client

        try:
            try:
                return self._get(timeout, query)
            except urllib3.exceptions.ProtocolError:
                # A kept-alive connection that the server closed while this request was on its way to it.
                return self._get(timeout, query)
        except client.ApiException as error:
            if error.status:
                return self._explain(error.status, self._decode_status(error.body), verb)
            # Without a status: how the library reports a TLS failure.
            remedy = "check the certificate authority and the server name that this client is configured with"
            return self._explain_silence(verb, error, remedy)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            remedy = (
                "nothing if the API server is being restarted; else check that it can be reached from here"
            )
            return self._explain_silence(verb, error, remedy)

    def _explain_silence(self, verb: str, error: Exception, remedy: str) -> DiscoveryError:
        msg = f"{verb} of {self._describe()}: no answer from {self._access.host}: {_brief(error)}\n  do: {remedy}"
        return DiscoveryError(msg, kind="unreachable")

    def _get(self, timeout: tuple[float, float], query: dict[str, Any]) -> Any:
        from kubernetes import client

        return client.DiscoveryV1Api(self._access.client).list_namespaced_endpoint_slice(
            self._namespace,
            label_selector=f"kubernetes.io/service-name={self._service}",
            _preload_content=False,
            _request_timeout=timeout,
            **query,
        )

    def _read_all(self, response: Any) -> bytes | DiscoveryError:
        import urllib3

        try:
            return bytes(response.data)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return DiscoveryError(
                f"list of {self._describe()} broke off: {_brief(error)}", kind="unreachable"
            )

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

    def _decode_status(self, text: str | None) -> dict[str, Any]:
        try:
            decoded = json.loads(text or "{}")
        except ValueError:
            decoded = text  # A proxy's error page, say.
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
    cause = error
    while (inner := _cause_of(cause)) is not None:
        cause = inner
    text = re.sub(r"^.*?object at 0x[0-9a-f]+>:? ?", "", str(cause)).strip()
    return (text if text else type(cause).__name__).splitlines()[0]


def _cause_of(error: BaseException) -> BaseException | None:
    candidates = (getattr(error, "reason", None), error.__cause__, *error.args)
    return next((item for item in candidates if isinstance(item, BaseException)), None)
