"""The tokens by which a list in pages goes on. Pure.

The rule it keeps: a token is the revision of the list and the key after which it goes on, relative to what is listed,
so it is good for the same collection only. A negative revision means: with what is there by then.

Source: k8s.io/apiserver pkg/storage/continue.go.
"""

from __future__ import annotations

import base64
import posixpath
import re
from typing import Any

import orjson

from simcluster.errors import BadRequest

NEWEST = -1
_VERSION = "meta.k8s.io/v1"
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9_-]")


def write_token(revision: int, start: str) -> str:
    """Return the token for what comes at and after the key `start`."""
    text = orjson.dumps({"v": _VERSION, "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def read_token(token: str) -> tuple[int, str]:
    """Return revision and key of a token; BadRequest, in the real words, if it is none."""
    held = _decode(token)
    version = held.get("v", "")
    if version != _VERSION:
        raise _refuse(f"server does not recognize this encoded version {version}")
    revision, start = held.get("rv", 0), held.get("start", "")
    if not isinstance(revision, int) or not isinstance(start, str):
        raise _refuse("json: cannot unmarshal into Go value of type storage.continueToken")
    if revision == 0:
        raise _refuse("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise _refuse("encoded start key empty (version meta.k8s.io/v1)")
    key = start if start.startswith("/") else f"/{start}"
    # A key that climbs out of its collection would list another one.
    if posixpath.normpath(key) != key:
        raise _refuse(start)
    return revision, key


def _decode(token: str) -> dict[str, Any]:
    wrong = _NOT_BASE64.search(token)
    if wrong is not None or len(token) % 4 == 1:
        at = len(token) if wrong is None else wrong.start()
        raise _refuse(f"illegal base64 data at input byte {at}")
    text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    try:
        held = orjson.loads(text)
    except orjson.JSONDecodeError:
        first = text[:1].decode("latin-1")
        why = f"invalid character '{first}' looking for beginning of value"
        raise _refuse(why if first not in ("", "{") else "unexpected end of JSON input") from None
    if not isinstance(held, dict):
        raise _refuse("json: cannot unmarshal into Go value of type storage.continueToken")
    return held


def _refuse(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")
