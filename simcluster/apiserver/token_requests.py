"""Tokens on request: for a ServiceAccount, perhaps bound to an object that they end with.

The rule it keeps: what a token is bound to is there, under the uid that was given.
Source: kubernetes pkg/registry/core/serviceaccount/storage/token.go.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from simcluster.apiserver import bodies
from simcluster.apiserver.answers import answer
from simcluster.apiserver.calls import Call
from simcluster.errors import BadRequest, Conflict, Invalid, invalid
from simcluster.registry import Registry, format_time
from simcluster.schema import Report, decode
from simcluster.store import Key
from simcluster.tokens import ISSUER, LONGEST_S, SHORTEST_S, USUAL_S, Bearer, TokenIssuer

Object = dict[str, Any]
_KIND = "TokenRequest.authentication.k8s.io"
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
_CHANGED = "The object might have been deleted and then recreated"


class TokenRequests:
    """Serves serviceaccounts/token."""

    def __init__(self, registry: Registry, issuer: TokenIssuer) -> None:
        self._registry = registry
        self._issuer = issuer

    async def create(self, call: Call) -> web.Response:
        """Mint a token for a ServiceAccount."""
        body = await bodies.read_object(call, "TokenRequest")
        account = self._registry.get("serviceaccounts", call.target.namespace, call.target.name)
        type_ = self._registry.catalogue.type_of("authentication.k8s.io", "v1", "TokenRequest")
        asked = decode(type_, {} if body is None else body, Report())
        spec = asked.get("spec", {})
        lasts_s = spec.get("expirationSeconds", USUAL_S)
        _check(asked.get("metadata", {}), lasts_s, account["metadata"])
        audiences = [each for each in spec.get("audiences") or () if each] or [ISSUER]
        reference = spec.get("boundObjectRef")
        bearer = self._bearer(account, reference)
        now = self._registry.clock()
        token = self._issuer.mint(bearer, now=now, lasts_s=lasts_s, audiences=audiences)
        kept = {key: account["metadata"][key] for key in ("name", "namespace", "uid")}
        return answer(
            {
                "kind": "TokenRequest",
                "apiVersion": "authentication.k8s.io/v1",
                "metadata": kept | {"creationTimestamp": format_time(now)},
                "spec": {
                    "audiences": audiences,
                    "expirationSeconds": lasts_s,
                    "boundObjectRef": reference,
                },
                "status": {"token": token, "expirationTimestamp": format_time(now + lasts_s)},
            },
            status=201,
        )

    def _bearer(self, account: Object, reference: Object | None) -> Bearer:
        metadata = account["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        if reference is None:
            return Bearer(namespace, name, uid)
        kind, bound = reference.get("kind", ""), reference.get("name", "")
        if kind not in _BINDABLE or "/" in reference.get("apiVersion", ""):
            raise BadRequest(f"cannot bind token to object of type {_show_version(reference)}, Kind={kind}")
        found = self._registry.get(_BINDABLE[kind], namespace, bound)
        if kind == "Pod" and found["spec"].get("serviceAccountName") != name:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{name}" to pod running with different serviceaccount name.'
            )
        real = found["metadata"]["uid"]
        if reference.get("uid") not in (None, "", real):
            text = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
            raise Conflict(kind, bound, f"{text} {_CHANGED}")
        if kind == "Pod":
            node = self._registry.store.get(Key("nodes", "", found["spec"].get("nodeName", "")))
            return Bearer.of_pod(account, found, None if node is None else node.object)
        if kind == "Node":
            return Bearer(namespace, name, uid, node=bound, node_uid=real)
        return Bearer(namespace, name, uid, secret=bound, secret_uid=real)


def _show_version(reference: Object) -> str:
    version = str(reference.get("apiVersion", ""))
    return version if "/" in version else f"/{version}"


def _check(metadata: Object, lasts_s: int, account: Object) -> None:
    """Refuse a request that makes no sense."""
    for key in ("name", "namespace"):
        if metadata.get(key, account[key]) != account[key]:
            text = f"must match the service account {key} if specified"
            fault = invalid(f"metadata.{key}", metadata[key], text)
            raise Invalid(_KIND, account["name"], [fault])
    if metadata.get("uid", account["uid"]) != account["uid"]:
        text = (
            f"the UID in the token request ({metadata['uid']}) does not match the UID of the service account"
        )
        raise Conflict(_KIND, account["name"], f"{text} ({account['uid']})")
    limits = (
        ("less than 10 minutes", lasts_s < SHORTEST_S),
        ("larger than 2^32 seconds", lasts_s > LONGEST_S),
    )
    for text, is_over in limits:
        if is_over:
            text = f"may not specify a duration {text}"
            raise Invalid(_KIND, "", [invalid("spec.expirationSeconds", lasts_s, text)])
