"""The paths that are no resources: discovery and OpenAPI.

The rule it keeps: a path that is not there is answered as a real server does, in plain text.
"""

from __future__ import annotations

from functools import cached_property

from aiohttp import web

from simcluster.apiserver.answers import answer, answer_encoded, choose_form
from simcluster.apiserver.discovery import AGGREGATED, AGGREGATED_TYPE, Discovery
from simcluster.apiserver.openapi import OpenApi
from simcluster.errors import MethodNotAllowed
from simcluster.schema import Catalogue


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
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed
        path, accept = request.path.rstrip("/"), request.headers.get("Accept")
        if path == "/openapi/v2":
            choose_form(accept)
            return answer_encoded(self._openapi.v2())
        if path == "/openapi/v3":
            return answer(self._openapi.index())
        if path.startswith("/openapi/v3/"):
            choose_form(accept)
            document = self._openapi.v3(path.removeprefix("/openapi/v3/"))
            return _not_found() if document is None else answer_encoded(document)
        return self._discover(request, path, accept)

    def _discover(self, request: web.BaseRequest, path: str, accept: str | None) -> web.Response:
        if path in ("/api", "/apis") and choose_form(accept, (AGGREGATED,)).transform:
            return _answer_aggregated(request, *self._discovery.aggregated(path))
        found = self._discovery.find(path) if path.startswith("/api") else None
        return _not_found() if found is None else answer(found)


def _answer_aggregated(request: web.BaseRequest, body: bytes, etag: str) -> web.Response:
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "public"}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers | {"Content-Type": AGGREGATED_TYPE})


def _not_found() -> web.Response:
    return web.Response(text="404 page not found\n", status=404)
