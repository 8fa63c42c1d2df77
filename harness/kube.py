"""The Kubernetes API, as far as the harness needs it: objects as plain dicts, found by discovery.

Rule: nothing here knows what a scenario is, and nothing outside this module speaks HTTP to a cluster.
Loading a kubeconfig and authentication are left to the `kubernetes` package. Watching is three nested
generators, one a scale of failure: for ever, list-then-watch, one connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from harness.errors import ApiError, ClusterError, suggest

Object = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_JSON = "application/json"
_TIMEOUT_S = 30.0
_RETRY_S = 0.2
_WATCH_S = 300
_EXEC_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_OUTPUT_CHANNELS, _STATUS_CHANNEL = (1, 2), 3


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the objects of a kind live, e.g. apis/apps/v1, deployments."""

    root: str
    plural: str
    is_namespaced: bool

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of one object, or of all in a namespace."""
        parts = [self.root]
        if self.is_namespaced and namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
        return "/" + "/".join(parts)


NAMESPACES = Resource("api/v1", "namespaces", is_namespaced=False)
PODS = Resource("api/v1", "pods", is_namespaced=True)
SECRETS = Resource("api/v1", "secrets", is_namespaced=True)
EVENTS = Resource("api/v1", "events", is_namespaced=True)
NODES = Resource("api/v1", "nodes", is_namespaced=False)
DEPLOYMENTS = Resource("apis/apps/v1", "deployments", is_namespaced=True)
DAEMON_SETS = Resource("apis/apps/v1", "daemonsets", is_namespaced=True)
ENDPOINT_SLICES = Resource("apis/discovery.k8s.io/v1", "endpointslices", is_namespaced=True)


class Kube:
    """One connection to one cluster. Use it as an async context manager."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._found: dict[str, dict[str, Resource]] = {}

    @classmethod
    async def connect(cls, kubeconfig: Path | str, context: str | None, scratch: Path | None = None) -> Kube:
        """A client of the cluster in a kubeconfig; `context` None takes the current one. Raises ClusterError.

        Certificates of the kubeconfig are written to files in `scratch`, because that is all that the TLS
        library reads; without it, to the system's temporary folder, until this process ends.
        """
        configuration = kubernetes_client.Configuration()
        try:
            await kubernetes_config.load_kube_config(
                str(kubeconfig),
                context=context,
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=None if scratch is None else str(scratch),
            )
        except kubernetes_config.ConfigException as error:
            raise ClusterError(f"{kubeconfig}: not a usable kubeconfig: {error}") from None
        except OSError as error:
            raise ClusterError(f"{kubeconfig}: {error.strerror}") from None
        return cls(kubernetes_client.ApiClient(configuration=configuration))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._api.close()

    async def get(self, path: str, **query: str) -> Object:
        """One object, or one list of objects."""
        return await self._request("GET", path, query)

    async def create(self, path: str, body: Object) -> Object:
        """Create an object; `path` is the collection's."""
        return await self._request("POST", path, {}, body)

    async def patch(self, path: str, body: Object, *, kind: str = STRATEGIC_PATCH) -> Object:
        """Change an object."""
        return await self._request("PATCH", path, {}, body, kind)

    async def delete(self, path: str, *, grace_s: float | None = None) -> Object:
        """Delete an object; its dependents follow in the background."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = round(grace_s)
        return await self._request("DELETE", path, {}, body)

    async def version(self) -> str:
        """The server's version, as it gives it, e.g. v1.36.3."""
        return str((await self.get("/version"))["gitVersion"])

    async def resource(self, api_version: str, kind: str) -> Resource:
        """Where objects of a kind live. Raises ClusterError where the cluster does not know it."""
        if api_version not in self._found:
            self._found[api_version] = await self._discover(api_version)
        known = self._found[api_version]
        if kind not in known:
            raise ClusterError(
                f"the cluster has no kind {kind} in {api_version}; it has {', '.join(sorted(known))}"
            )
        return known[kind]

    async def kind(self, kind: str) -> Resource:
        """Where objects of a kind live, in whatever group has it; the core group first.

        Raises ClusterError.
        """
        groups = (await self.get("/apis"))["groups"]
        versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]
        for api_version in versions:
            if api_version not in self._found:
                self._found[api_version] = await self._discover(api_version)
            if kind in self._found[api_version]:
                return self._found[api_version][kind]
        every = sorted({name for known in self._found.values() for name in known})
        raise ClusterError("\n".join([f'unknown kind "{kind}"', *suggest(kind, every, what="kinds")]))

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Any]]:
        """For ever.

        ("LIST", objects), then ("ADDED" | "MODIFIED" | "DELETED", object), and LIST again after a
        gap.

        A consumer takes each LIST as the whole truth: what is missing from it is gone.
        """
        while True:
            try:
                async for event in self._list_then_watch(path):
                    yield event
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                await asyncio.sleep(_RETRY_S)

    @asynccontextmanager
    async def lines(self, path: str, **query: str) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of a streamed answer (a watch, a followed log), without their ends."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_S)
        response = await self._send("GET", path, query, None, _JSON, timeout)
        try:
            if response.status >= 400:
                raise _refusal("GET", path, response.status, await response.text())
            yield _split(response)
        finally:
            response.close()

    async def execute(
        self, namespace: str, pod: str, container: str, command: Sequence[str]
    ) -> tuple[int, str]:
        """Run a command in a container; its exit code and what it printed on both streams."""
        query = [("command", part) for part in command]
        query += [("container", container), ("stdout", "true"), ("stderr", "true")]
        path = PODS.path(namespace, pod, "exec")
        _, url, headers, _, _ = await self._prepare("GET", f"{path}?{urlencode(query)}", None, _JSON)
        del (
            headers["Content-Type"],
            headers["Accept"],
        )  # the API server answers 406 to an upgrade that asks for JSON
        session = self._api.rest_client.pool_manager
        try:
            async with session.ws_connect(url, headers=headers, protocols=_EXEC_PROTOCOLS) as socket:
                return await asyncio.wait_for(_run(socket), _TIMEOUT_S)
        except aiohttp.WSServerHandshakeError as error:
            raise ApiError(error.status, "", error.message, request=f"exec {path}") from None

    async def _request(
        self, method: str, path: str, query: dict[str, str], body: Object | None = None, kind: str = _JSON
    ) -> Object:
        response = await self._send(method, path, query, body, kind, aiohttp.ClientTimeout(total=_TIMEOUT_S))
        try:
            text = await response.text()
        finally:
            response.release()
        if response.status >= 400:
            raise _refusal(method, path, response.status, text)
        found: Object = json.loads(text)
        return found

    async def _send(
        self, method: str, path: str, query: dict[str, str], body: Object | None, kind: str, limit: Any
    ) -> Any:
        url = path if not query else f"{path}?{urlencode(query)}"
        prepared = await self._prepare(method, url, body, kind)
        answer = await self._api.call_api(*prepared, _request_timeout=limit)
        return answer.response

    async def _prepare(self, method: str, url: str, body: Object | None, kind: str) -> tuple[Any, ...]:
        found: tuple[Any, ...] = await self._api.param_serialize(
            method,
            url,
            header_params={"Accept": _JSON, "Content-Type": kind},
            body=body,
            query_params=[],
            auth_settings=["BearerToken"],
        )
        return found

    async def _discover(self, api_version: str) -> dict[str, Resource]:
        root = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
        try:
            found = await self.get(f"/{root}")
        except ApiError as error:
            raise ClusterError(f"the cluster does not serve {api_version}: {error}") from None
        return {
            entry["kind"]: Resource(root, entry["name"], is_namespaced=entry["namespaced"])
            for entry in found["resources"]
            if "/" not in entry["name"]
        }

    async def _list_then_watch(self, path: str) -> AsyncIterator[tuple[str, Any]]:
        listed = await self.get(path)
        yield "LIST", listed.get("items") or []
        version = listed["metadata"]["resourceVersion"]
        while version is not None:
            latest: str | None = version
            async for kind, found in self._watch_once(path, version):
                if kind == "ERROR":
                    if found.get("code") != 410:
                        await asyncio.sleep(_RETRY_S)
                    latest = None
                    break
                latest = found["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    yield kind, found
            version = latest

    async def _watch_once(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        query = {"resourceVersion": version, "timeoutSeconds": str(_WATCH_S), "allowWatchBookmarks": "true"}
        try:
            async with self.lines(path, watch="true", **query) as lines:
                async for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]
        except ApiError as error:
            if error.status != 410:
                raise
            yield "ERROR", {"code": 410}


async def _split(response: Any) -> AsyncIterator[str]:
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line.decode("utf-8", errors="replace")
    if rest:
        yield rest.decode("utf-8", errors="replace")


async def _run(socket: Any) -> tuple[int, str]:
    printed: list[str] = []
    code = None
    async for message in socket:
        channel, data = message.data[0], message.data[1:]
        if channel == _STATUS_CHANNEL:
            code = _exit_code(json.loads(data))
        elif channel in _OUTPUT_CHANNELS and data:
            printed.append(data.decode("utf-8", errors="replace"))
    if code is None:
        raise ClusterError("the connection ended without the command's exit code")
    return code, "".join(printed)


def _exit_code(status: Object) -> int:
    if status.get("status") == "Success":
        return 0
    causes = (status.get("details") or {}).get("causes") or []
    codes = [int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"]
    if not codes:
        raise ClusterError(f"the command could not be run: {status.get('message')}")
    return codes[0]


def _refusal(method: str, path: str, status: int, text: str) -> ApiError:
    try:
        found = json.loads(text)
        reason, message = found.get("reason") or "", found.get("message") or ""
    except (ValueError, AttributeError):
        reason, message = "", text[:200]
    return ApiError(status, reason, message, request=f"{method} {path}")
