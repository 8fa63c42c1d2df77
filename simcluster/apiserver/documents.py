"""The paths that are no resources: discovery, OpenAPI, version, health, and the index of them all.

The rule it keeps: a path that is not there is answered as a real server does: in plain text, or as a Status where a
group and version are named.
"""

from __future__ import annotations

from functools import cached_property

import orjson
from aiohttp import web

from simcluster.apiserver import health
from simcluster.apiserver.answers import answer, choose_form
from simcluster.apiserver.discovery import AGGREGATED, AGGREGATED_TYPE, Discovery
from simcluster.apiserver.openapi import OpenApi
from simcluster.errors import MethodNotAllowed, NotAcceptable, ResourceNotFound
from simcluster.schema import Catalogue

_V2, _V3 = "/openapi/v2", "/openapi/v3"
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_JSON = ("application/json", "application/*", "*/*")
_UNCACHED = {"Cache-Control": "no-cache, private"}


class Documents:
    """Serves the documents of one server; `address` is `host:port`, known once it listens."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._openapi = OpenApi(catalogue)
        self.address = ""

    @cached_property
    def _discovery(self) -> Discovery:
        return Discovery(self._catalogue, self.address)

    def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer with the document at a path."""
        path = request.path.rstrip("/")
        if path == "":
            return _answer_indented({"paths": self._index()})
        if path == _V2:
            return self._answer_v2(request)
        if path == _V3:
            return web.json_response(self._openapi.index(), content_type="text/plain", headers=_UNCACHED)
        if path.startswith(_V3):
            return self._answer_v3(request, path.removeprefix(_V3 + "/"))
        public = self.answer_anybody(request)
        return self._discover(request, path) if public is None else public

    def answer_anybody(self, request: web.BaseRequest) -> web.Response | None:
        """Answer what is told without asking who is there: health and version; None if it is neither."""
        path = request.path
        if health.is_health(path):
            query = request.query
            text = health.check(path, query.getall("exclude", []), verbose="verbose" in query)
            return _not_found() if text is None else web.Response(text=text, headers=_UNCACHED)
        if path.split("/")[1] != "version":
            return None
        if path.rstrip("/") != "/version":
            raise ResourceNotFound
        if request.method != "GET":
            raise MethodNotAllowed
        return _answer_indented(self._catalogue.version)

    def _index(self) -> list[str]:
        found = ["/api", "/apis", "/version", _V2, _V3, *(f"/{each}" for each in health.ENDPOINTS)]
        for group, version in self._catalogue.groups:
            found += [f"/apis/{group}", f"/apis/{group}/{version}"] if group else [f"/api/{version}"]
        return sorted(found + [f"{_V3}/{where}" for where in self._openapi.places])

    def _answer_v2(self, request: web.BaseRequest) -> web.Response:
        kinds = _accepted(request)
        if any(kind in _JSON for kind in kinds):
            return _answer_hashed(request, self._openapi.v2(), "application/json", self._openapi.hash(_V2))
        if _V2_PROTOBUF in kinds:
            kind = _V2_PROTOBUF.replace("@", ".")
            return _answer_hashed(request, self._openapi.v2_protobuf(), kind, self._openapi.hash(_V2))
        return web.Response(status=NotAcceptable.code)

    def _answer_v3(self, request: web.BaseRequest, where: str) -> web.Response:
        document = self._openapi.v3(where)
        if document is None:
            return web.Response(status=ResourceNotFound.code)
        if not any(kind in _JSON for kind in _accepted(request)):
            return web.Response(status=NotAcceptable.code)
        return _answer_hashed(request, document, "application/json", self._openapi.hash(where))

    def _discover(self, request: web.BaseRequest, path: str) -> web.Response:
        accept, parts = request.headers.get("Accept"), path.split("/")[1:]
        if path in ("/api", "/apis") and choose_form(accept, (AGGREGATED,)).transform:
            return _answer_aggregated(request, *self._discovery.aggregated(path))
        found = self._discovery.find(path) if parts[0] in ("api", "apis") else None
        names_version = len(parts) == (2 if parts[0] == "api" else 3)
        if found is None:
            known = {group for group, _ in self._catalogue.groups}
            if names_version and (parts[0] == "api" or parts[1] in known):
                raise ResourceNotFound
            return _not_found()
        if names_version and request.method != "GET":
            raise MethodNotAllowed
        choose_form(accept)
        return answer(found, headers=_UNCACHED)


def _answer_indented(document: dict[str, object]) -> web.Response:
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    return web.Response(body=body, content_type="application/json", headers=_UNCACHED)


def _accepted(request: web.BaseRequest) -> list[str]:
    accept = request.headers.get("Accept", "*/*")
    return [part.partition(";")[0].strip() for part in accept.split(",")]


def _answer_hashed(request: web.BaseRequest, body: bytes, kind: str, told: str) -> web.Response:
    etag = f'"{told}"'
    is_named = "hash" in request.query
    headers = {"ETag": etag, "Vary": "Accept"}
    headers |= {"Cache-Control": "public, immutable"} if is_named else _UNCACHED
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers | {"Content-Type": kind})


def _answer_aggregated(request: web.BaseRequest, body: bytes, etag: str) -> web.Response:
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "public"}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers | {"Content-Type": AGGREGATED_TYPE})


def _not_found() -> web.Response:
    return web.Response(text="404 page not found\n", status=404)
