"""Service-account tokens: signed JWTs that say which account, and for which pod, secret or node they were made.

The rule it keeps: a token is believed only if this cluster signed it, it has not expired, and one of its
audiences is the API server's. Whether the account (and what it is bound to) still exists is for the caller to
check: a token outlives neither. Time is an argument, in seconds since the epoch.

Claims as in the TokenRequest API of a real cluster (pkg/serviceaccount/claims.go); the signature is ES256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

ISSUER = "https://kubernetes.default.svc.cluster.local"
# TokenRequest refuses less than ten minutes and answers with at most 2^32 seconds.
SHORTEST_S, LONGEST_S = 600, 2**32
USUAL_S = 3600
_HALF = 32
Object = dict[str, Any]


class TokenError(Exception):
    """The token is not one to believe; the message says why, and never contains the token."""


class WrongAudience(TokenError):  # noqa: N818 - named for what is wrong
    """The token is good, but for others."""

    def __init__(self, has: str, wanted: str) -> None:
        super().__init__(f"token audiences {has} is invalid for the target audiences {wanted}")


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token speaks for. `pod`, `secret` and `node`, with their uids, are empty for a token that is not bound to
    one; beside a pod, `node` only says where that ran.
    """

    namespace: str
    account: str
    account_uid: str
    pod: str = ""
    pod_uid: str = ""
    token_id: str = ""
    secret: str = ""
    secret_uid: str = ""
    node: str = ""
    node_uid: str = ""

    @classmethod
    def of_pod(cls, account: Object, pod: Object, node: Object | None) -> Bearer:
        """Return the bearer of a pod's tokens; `node` is the pod's, None if there is no such object."""
        who, what = account["metadata"], pod["metadata"]
        return cls(
            what["namespace"],
            who["name"],
            who["uid"],
            what["name"],
            what["uid"],
            node=pod["spec"].get("nodeName", ""),
            node_uid="" if node is None else node["metadata"]["uid"],
        )

    @property
    def user(self) -> str:
        """The user name that RBAC sees."""
        return f"system:serviceaccount:{self.namespace}:{self.account}"

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that RBAC sees."""
        return ("system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated")


class TokenIssuer:
    """Signs and checks tokens with a key that never leaves the process."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._header = {"alg": "ES256", "kid": _encode(hashlib.sha256(public).digest()), "typ": "JWT"}

    def mint(
        self,
        bearer: Bearer,
        *,
        now: float,
        lasts_s: int = USUAL_S,
        audiences: Sequence[str] = (ISSUER,),
    ) -> str:
        """Return a token for `bearer`, good from `now` for `lasts_s` seconds."""
        about: dict[str, Any] = {
            "namespace": bearer.namespace,
            "serviceaccount": {"name": bearer.account, "uid": bearer.account_uid},
        }
        if bearer.pod:
            about["pod"] = {"name": bearer.pod, "uid": bearer.pod_uid}
        if bearer.secret:
            about["secret"] = {"name": bearer.secret, "uid": bearer.secret_uid}
        if bearer.node:
            about["node"] = {"name": bearer.node} | ({"uid": bearer.node_uid} if bearer.node_uid else {})
        issued = int(now)
        claims = {
            "aud": list(audiences),
            "exp": issued + lasts_s,
            "iat": issued,
            "iss": ISSUER,
            "jti": bearer.token_id if bearer.token_id else str(uuid.uuid4()),
            "kubernetes.io": about,
            "nbf": issued,
            "sub": bearer.user,
        }
        signed = f"{_encode(orjson.dumps(self._header))}.{_encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encode(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"

    def verify(
        self, token: str, *, now: float, audiences: Sequence[str] = (ISSUER,)
    ) -> tuple[Bearer, list[str]]:
        """Return who the token speaks for, and for which of the audiences; TokenError if it is not to be believed."""
        claims = self._open(token)
        if claims["iss"] != ISSUER:
            raise TokenError("the token was issued by another cluster")
        if not claims["nbf"] <= now + 1:
            raise TokenError("the token is not valid yet")
        if now >= claims["exp"]:
            raise TokenError("the token has expired")
        shared = [each for each in claims["aud"] if each in audiences]
        if not shared:
            raise WrongAudience(_show_audiences(claims["aud"]), _show_audiences(audiences))
        about = claims["kubernetes.io"]
        none = {"name": "", "uid": ""}
        pod, secret, node = (about.get(each, none) for each in ("pod", "secret", "node"))
        account = about["serviceaccount"]
        bearer = Bearer(
            about["namespace"], account["name"], account["uid"], pod["name"], pod["uid"], claims["jti"],
            secret["name"], secret["uid"], node["name"], node.get("uid", ""),
        )  # fmt: skip
        return bearer, shared

    def _open(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that this issuer signed. What is signed needs no further checks of
        form.
        """
        signed, _, signature = token.rpartition(".")
        try:
            raw = _decode(signature)
            header = orjson.loads(_decode(signed.partition(".")[0]))
        except (ValueError, binascii.Error) as error:
            raise TokenError("this is not a JWT") from error
        if header != self._header or len(raw) != 2 * _HALF:
            raise TokenError("the token was not signed by this cluster")
        halves = (int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))
        try:
            self._key.public_key().verify(
                encode_dss_signature(*halves), signed.encode(), ec.ECDSA(hashes.SHA256())
            )
        except InvalidSignature as error:
            raise TokenError("the token was not signed by this cluster") from error
        claims: dict[str, Any] = orjson.loads(_decode(signed.partition(".")[2]))
        return claims


def _show_audiences(audiences: Sequence[str]) -> str:
    return f"[{' '.join(json.dumps(each) for each in audiences)}]"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
