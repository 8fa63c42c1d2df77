"""The API server: TLS, who is calling, whether they may, and who answers.

The rule it keeps: every request is from somebody and allowed by a rule, but for the four public paths; every refusal is
a Status object, and a fault of ours is a Status too, logged with its cause and without the request's secrets.

It decides nothing about objects; it starts no controllers and no kubelet.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from multidict import CIMultiDict

from simcluster.apiserver import forms, kubeconfigs
from simcluster.apiserver.answers import answer_error
from simcluster.apiserver.bodies import LARGEST
from simcluster.apiserver.callers import Callers
from simcluster.apiserver.calls import Call, Kubelet
from simcluster.apiserver.documents import Documents
from simcluster.apiserver.doors import Doors
from simcluster.apiserver.entrance import Entrance
from simcluster.apiserver.impersonation import impersonate
from simcluster.apiserver.objects import Objects
from simcluster.apiserver.pod_writes import PodWrites
from simcluster.apiserver.refusing import refuse
from simcluster.apiserver.reviews import Reviews
from simcluster.apiserver.roles import RegistryRoles
from simcluster.apiserver.targets import PROXY, Target, find_kind, read_target
from simcluster.apiserver.tls import make_tls
from simcluster.apiserver.token_requests import TokenRequests
from simcluster.apiserver.watches import Watches
from simcluster.authorizer import Access, User, explain, is_allowed
from simcluster.certificates import Authority, KeyPair
from simcluster.errors import (
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    PlainError,
    StatusError,
)
from simcluster.escalation import GUARDED, check_grant
from simcluster.faults.requests import Facts, RequestFaults
from simcluster.registry import Admit, Object, Registry, admit_all
from simcluster.schema import Protobuf
from simcluster.tokens import TokenIssuer

if TYPE_CHECKING:
    from simcluster.apiserver.streams import Streams

_log = logging.getLogger(__name__)

# Methods that no resource answers to, though all paths are authorised by them.
_UPGRADED = ("exec", "attach", "portforward")
_UNSERVED = ("HEAD", "OPTIONS")
# Source: kubernetes pkg/apis/core/v1, the prerelease-lifecycle marks.
_DEPRECATED = {"endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_CLOSING_S = 1.0
Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class ApiServer:
    """A running API server; made by `serve`."""

    def __init__(
        self,
        registry: Registry,
        kubelet: Kubelet | None,
        *,
        authority: Authority,
        issuer: TokenIssuer,
        chance: random.Random,
    ) -> None:
        self.registry = registry
        self.authority = authority
        self.issuer = issuer
        self.host = ""
        self.port = 0
        self._entrance: Entrance | None = None
        self._callers = Callers(registry, issuer)
        self._roles = RegistryRoles(registry)
        self._objects = Objects(registry)
        self.faults = RequestFaults(chance)
        self.watches = Watches(registry, chance, self.faults)
        self.kubelet = kubelet  # may be set once the nodes run
        self._chance = chance
        self._reviews = Reviews(registry, self._callers)
        self._tokens = TokenRequests(registry, issuer)
        self._pods = PodWrites(registry)
        self._protobuf = Protobuf(registry.catalogue)
        self._documents = Documents(registry.catalogue)
        self._runner: web.ServerRunner | None = None
        self._doors: Doors | None = None

    @property
    def url(self) -> str:
        """Where it is, as in a kubeconfig."""
        return f"https://{self.host}:{self.port}"

    @property
    def endpoint(self) -> kubeconfigs.Endpoint:
        """Where it is and the authority it is known by."""
        return {"url": self.url, "authority": self.authority.certificate}

    @property
    def published(self) -> tuple[str, int]:
        """Where the Service `kubernetes` leads."""
        return (self.host, self.port) if self._entrance is None else self._entrance.inside

    @property
    def pod_address(self) -> tuple[str, int]:
        """Where pods find it."""
        return (self.host, self.port) if self._entrance is None else self._entrance.service

    @property
    def owner_endpoint(self) -> kubeconfigs.Endpoint:
        """The door that no fault shuts, and behind which no fault holds."""
        return self.endpoint | {
            "url": f"https://{self.host}:{self._doors.owner_port if self._doors is not None else 0}"
        }

    @functools.cached_property
    def _streams(self) -> Streams:
        # Not at the top: nothing that is streamed is among the first answers.
        from simcluster.apiserver.streams import Streams

        return Streams(self.registry, lambda: self.kubelet, self._chance)

    async def start(self, host: str, port: int, entrance: Entrance | None = None) -> None:
        """Listen; port 0 takes a free one. With an `entrance`, listen there."""
        self.host = host
        self._entrance = entrance
        server = web.Server(
            self.handle,
            request_factory=_make_request,
            access_log=None,
            handler_cancellation=True,
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_CLOSING_S)
        await self._runner.setup()
        self._doors = doors = Doors(self._runner, self._tls(), host)
        await doors.open(port, entrance)
        self.port = doors.port
        self._documents.address = f"{host}:{self.port}"

    async def shut(self, *, cuts: bool) -> Callable[[], Awaitable[None]]:
        """Be away for everybody but the owner; returns what ends that."""
        if self._doors is None:
            raise RuntimeError("the server does not listen yet; call start() first")
        return await self._doors.shut(cuts=cuts)

    async def close(self) -> None:
        """End all watches, then stop listening."""
        self.watches.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def issue_client(self, user: str, groups: tuple[str, ...]) -> KeyPair:
        """Issue a client certificate."""
        return self.authority.issue_client(user, groups, self._now())

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.registry.clock(), datetime.UTC)

    def _tls(self) -> ssl.SSLContext:
        addresses = {self.host, "127.0.0.1"} - {"localhost"}
        if self._entrance is not None:
            addresses |= {self._entrance.inside[0], self._entrance.service[0]}
        return make_tls(self.authority, self.authority.issue_server(_NAMES, sorted(addresses), self._now()))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return forms.translate(request, await self._answer(request), self._protobuf)
        except StatusError as error:
            return forms.translate(request, answer_error(error), self._protobuf)
        except PlainError as error:
            return web.Response(text=error.message, status=error.code, headers=CIMultiDict(error.headers))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except RecursionError:
            return answer_error(BadRequest("the body of the request is nested too deeply"))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not look like a broken connection
            _log.exception("%s %s failed", request.method, request.path)
            return answer_error(StatusError(f"Internal error occurred: {type(error).__name__}: {error}"))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if request.method in ("GET", "HEAD"):
            public = self._documents.answer_anybody(request)
            if public is not None:
                return public
        caller = self._callers.identify(request)
        if request.method == "CONNECT":
            # Its path is none, and a success would turn the connection into a tunnel.
            raise MethodNotAllowed
        target = read_target(request.method, path, request.query)
        access = _access(target) if target is not None else Access(request.method.lower(), path=path)
        user = impersonate(caller, request.headers, access, self._roles)
        facts = self._find_facts(request, user, target)
        refused = await self._suffer(facts)
        if refused is not None:
            return refused
        self._require(user, access)
        if target is None:
            return self._documents.answer(request)
        is_opened = target.verb == "get" and target.plural == "pods" and target.subresource in _UPGRADED
        if is_opened and not is_allowed(user, replace(access, verb="create"), self._roles):
            # A WebSocket is opened by GET, and does what POST does. A real server gives no reason here.
            raise Forbidden("pods", target.name, "")
        if request.method in _UNSERVED and target.subresource != PROXY:
            raise MethodNotAllowed
        kind = find_kind(self.registry.catalogue, target)
        admit = self._make_guard(user, kind.name)
        call = Call(request, user, target, kind, self._protobuf, facts=facts, admit=admit)
        if kind.name in _DEPRECATED:
            call.warnings.append(_DEPRECATED[kind.name])
        try:
            response = await self._handler(call)(call)
        except StatusError as error:
            # Refusals, too, are told with warnings.
            response = answer_error(error)
        if call.warnings and not response.prepared:
            response.headers.update(call.warning_headers())
        return response

    async def _suffer(self, facts: Facts | None) -> web.Response | None:
        """Wait as long as faults have a request wait; return the refusal if they have it refused."""
        if facts is None:
            return None
        delay_s, refusal = self.faults.delay_s(facts), self.faults.refusal(facts)
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        return None if refusal is None else refuse(refusal)

    def _find_facts(self, request: web.BaseRequest, user: User, target: Target | None) -> Facts | None:
        """What faults go by; None at the owner's door."""
        if self._doors is None or self._doors.is_owner(request.transport):
            return None
        if target is None:
            return Facts(request.method.lower(), "", None, user.name)
        return Facts(target.verb, target.resource, target.namespace, user.name)

    def _handler(self, call: Call) -> Handler:
        target, kind = call.target, call.kind
        if target.subresource:
            return self._subresource_handler(call)
        if not kind.stored:
            if target.verb != "create":
                raise MethodNotAllowed
            return self._reviews.review
        if target.verb not in kind.verbs and target.verb != "watch":
            raise MethodNotAllowed
        # What is created is posted to the collection; what is changed is named.
        if target.verb != "watch" and bool(target.name) is not (
            target.verb in ("get", "update", "patch", "delete")
        ):
            raise MethodNotAllowed
        objects = self._objects
        handlers: dict[str, Handler] = {
            "get": objects.get,
            "list": objects.list,
            "watch": self.watches.watch,
            "create": objects.create,
            "update": objects.update,
            "patch": objects.patch,
            "delete": objects.delete,
            "deletecollection": objects.delete_collection,
        }
        return handlers[target.verb]

    def _subresource_handler(self, call: Call) -> Handler:
        special: dict[tuple[str, str], Handler] = {
            ("log", "get"): self._streams.log,
            ("exec", "get"): self._streams.exec,
            ("exec", "create"): self._streams.exec,
            ("attach", "get"): self._streams.attach,
            ("attach", "create"): self._streams.attach,
            ("portforward", "get"): self._streams.forward,
            ("portforward", "create"): self._streams.forward,
            ("binding", "create"): self._pods.bind,
            ("eviction", "create"): self._pods.evict,
            ("token", "create"): self._tokens.create,
        }
        sub, verb = call.target.subresource, call.target.verb
        if sub == PROXY:
            return self._streams.proxy
        found = special.get((sub, verb))
        if found is not None:
            return found
        usual: dict[str, Handler] = {
            "get": self._objects.get,
            "update": self._objects.update,
            "patch": self._objects.patch,
        }
        if verb not in usual or verb not in call.kind.subresources[sub].verbs:
            raise MethodNotAllowed
        return usual[verb]

    def _require(self, user: User, access: Access) -> None:
        if is_allowed(user, access, self._roles):
            return
        resource = f"{access.resource}.{access.group}" if access.group else access.resource
        raise Forbidden(resource, access.name, explain(user, access))

    def _make_guard(self, user: User, resource: str) -> Admit:
        """Return what a write of a kind has to pass before it is stored."""
        if resource not in GUARDED:
            return admit_all

        def admit(new: Object, old: Object | None) -> None:
            check_grant(user, resource, old, new, self._roles)

        return admit


def _access(target: Target) -> Access:
    namespace = "" if target.namespace is None else target.namespace
    name = target.authorized_name
    return Access(target.verb, target.group, target.plural, target.subresource, namespace, name)


def _make_request(
    message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
) -> web.BaseRequest:
    # aiohttp's own limit for bodies is one mebibyte.
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=LARGEST)


async def serve(
    registry: Registry,
    kubelet: Kubelet | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    authority: Authority | None = None,
    issuer: TokenIssuer | None = None,
    chance: random.Random | None = None,
    entrance: Entrance | None = None,
) -> ApiServer:
    """Start an API server over a registry; ValueError for an address that is not the loopback's."""
    if host not in _LOOPBACK and not host.startswith("127."):
        raise ValueError(f"will not listen on {host}\n  allowed: loopback addresses, such as 127.0.0.1")
    made_at = datetime.datetime.fromtimestamp(registry.clock(), datetime.UTC)
    server = ApiServer(
        registry,
        kubelet,
        authority=Authority(made_at) if authority is None else authority,
        issuer=TokenIssuer() if issuer is None else issuer,
        chance=random.Random() if chance is None else chance,  # noqa: S311 - spreads the ends of watches
    )
    await server.start(host, port, entrance)
    return server


def write_admin_kubeconfig(
    server: ApiServer,
    path: Path,
    *,
    cluster: str = "simcluster",
    folder: Path | None = None,
    owner: bool = False,
) -> None:
    """Write a kubeconfig that may do everything; mode 0600. With `owner` it reaches the owner's door.

    `folder` is the cluster's own, by default the file's.
    """
    pair = server.issue_client(kubeconfigs.ADMINISTRATOR, (kubeconfigs.MASTERS,))
    kubeconfigs.write_admin_kubeconfig(
        path,
        server.owner_endpoint if owner else server.endpoint,
        certificate=pair.certificate,
        key=pair.key,
        cluster=cluster,
        folder=path.parent if folder is None else folder,
    )
