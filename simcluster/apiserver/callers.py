"""Who is calling: a client certificate of the cluster's authority, or a service-account token.

The rule it keeps: nobody is anonymous. A token is believed only while its account, and what it was bound to, exist
with the same uid. Neither tokens nor certificates are logged.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from simcluster.authorizer import User
from simcluster.certificates import read_subject
from simcluster.errors import Unauthorized
from simcluster.registry import Registry
from simcluster.store import Key
from simcluster.tokens import ISSUER, Bearer, TokenError, TokenIssuer, WrongAudience

_KNOWN_CERTIFICATES = 1000
_EXTRA = "authentication.kubernetes.io/"
_INVALID = "invalid bearer token"


class Callers:
    """Tells users from requests."""

    def __init__(self, registry: Registry, issuer: TokenIssuer) -> None:
        self._registry = registry
        self._issuer = issuer
        self._by_certificate: dict[bytes, User] = {}

    def identify(self, request: web.BaseRequest) -> User:
        """Return who is calling; Unauthorized if that can not be told. A certificate counts before a token."""
        certificate = self._certificate(request)
        if certificate is not None:
            return self._identify_certificate(certificate)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized
        return self.identify_token(token.strip())[0]

    def identify_token(self, token: str, audiences: Sequence[str] = (ISSUER,)) -> tuple[User, list[str]]:
        """Return whom a service-account token speaks for, and for which of the audiences; Unauthorized if it is not
        to be believed.
        """
        try:
            bearer, shared = self._issuer.verify(token, now=self._registry.clock(), audiences=audiences)
        except WrongAudience as error:
            raise Unauthorized(f"[{_INVALID}, {error}]") from error
        except TokenError as error:
            raise Unauthorized(_INVALID) from error
        self._require_alive(bearer)
        extra: list[tuple[str, tuple[str, ...]]] = [(f"{_EXTRA}credential-id", (f"JTI={bearer.token_id}",))]
        if bearer.pod:
            extra += [(f"{_EXTRA}pod-name", (bearer.pod,)), (f"{_EXTRA}pod-uid", (bearer.pod_uid,))]
        if bearer.node:
            extra.append((f"{_EXTRA}node-name", (bearer.node,)))
        if bearer.node_uid:
            extra.append((f"{_EXTRA}node-uid", (bearer.node_uid,)))
        return User(bearer.user, bearer.groups, bearer.account_uid, tuple(extra)), shared

    def _certificate(self, request: web.BaseRequest) -> bytes | None:
        transport = request.transport
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        # The TLS layer has checked it against the authority already.
        certificate: bytes | None = None if tls is None else tls.getpeercert(binary_form=True)
        return certificate

    def _identify_certificate(self, certificate: bytes) -> User:
        user = self._by_certificate.get(certificate)
        if user is None:
            name, groups = read_subject(certificate)
            user = User(name, (*groups, "system:authenticated"))
            if len(self._by_certificate) >= _KNOWN_CERTIFICATES:
                self._by_certificate.clear()
            self._by_certificate[certificate] = user
        return user

    def _require_alive(self, bearer: Bearer) -> None:
        """Refuse the token of an account that is gone, or bound to what is gone."""
        namespace = bearer.namespace
        wanted = [(Key("serviceaccounts", namespace, bearer.account), bearer.account_uid)]
        if bearer.pod:
            wanted.append((Key("pods", namespace, bearer.pod), bearer.pod_uid))
        elif bearer.node:
            wanted.append((Key("nodes", "", bearer.node), bearer.node_uid))
        if bearer.secret:
            wanted.append((Key("secrets", namespace, bearer.secret), bearer.secret_uid))
        for key, uid in wanted:
            record = self._registry.store.get(key)
            if record is None or record.object["metadata"]["uid"] != uid:
                raise Unauthorized
