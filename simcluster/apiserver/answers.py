"""Answers: as which kind a client wants one, and how it is written: in JSON, which `forms` may translate.

The rule it keeps: who accepts nothing that can be written is told so with 406, never given something else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from simcluster.apiserver.forms import ALL, OBJECTS, read_form
from simcluster.errors import NotAcceptable, StatusError

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Form:
    """How to write an answer; `transform` is the kind to write it as, such as Table, empty for its own."""

    transform: str = ""
    version: str = ""


PLAIN = Form()
_OF_META = ("v1", "v1beta1")
_VERSIONS = {
    "Table": _OF_META,
    "PartialObjectMetadata": _OF_META,
    "PartialObjectMetadataList": _OF_META,
    "APIGroupDiscoveryList": ("v2",),
}


def choose_form(
    accept: str | None,
    transforms: Sequence[str] = (),
    available: Sequence[str] = OBJECTS,
    offered: Sequence[str] = ALL,
) -> Form:
    """Return the first form of an Accept header that can be written; NotAcceptable if there is none of `available`.

    `offered` is what a client is told that has asked for something unheard of.
    """
    if not accept or accept == _JSON:
        return PLAIN
    known, others = False, False
    for wanted in accept.split(","):
        kind, *parameters = (part.strip() for part in wanted.split(";"))
        form = read_form(kind)
        known = known or form is not None
        given = dict(part.partition("=")[::2] for part in parameters)
        transform = given.get("as", "")
        if transform and (transform not in transforms or given.get("v") not in _VERSIONS[transform]):
            continue
        if form == "json":
            return Form(transform, given.get("v", ""))
        if form is not None and not transform and any(each.startswith(kind) for each in available):
            others = True
    if others:
        return PLAIN
    raise NotAcceptable(available) if known else NotAcceptable(offered, is_unknown=True)


def answer(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Write an object."""
    return answer_encoded(
        orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE), status=status, headers=headers
    )


def answer_encoded(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Write an object that is JSON already."""
    return web.Response(body=body, status=status, content_type=_JSON, headers=headers)


def answer_pieces(pieces: Iterator[bytes]) -> web.Response:
    """Write an object whose JSON comes in pieces: each is asked for when the client has taken those before it.

    Connections keep buffers as large as what was ever given to them at once.
    """
    return web.Response(body=_one_by_one(pieces), content_type=_JSON)


async def _one_by_one(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def answer_error(error: StatusError) -> web.Response:
    """Write a refusal as its Status object."""
    headers = {}
    seconds = error.details.get("retryAfterSeconds")
    if seconds is not None:
        headers["Retry-After"] = str(seconds)
    return answer(error.as_object(), status=error.code, headers=headers)


def show_success(kind: str, name: str, group: str, uid: str) -> dict[str, Any]:
    """Return the Status that answers a deletion that is done; `kind` is the plural."""
    about = {"name": name} | ({"group": group} if group else {}) | {"kind": kind, "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about}
