"""The form of an answer on the wire: JSON, as every handler writes it, or what the client accepts instead.

The rule it keeps: JSON wherever the client takes it, though a real server would follow the client's order: it is what
objects are kept in, so that nothing has to be translated. Only a client that takes no JSON is given YAML or protobuf;
this is done here, for all handlers, for refusals too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import orjson
from aiohttp import web

from simcluster.errors import NotAcceptable
from simcluster.schema import Protobuf, UnwritableError

Form = Literal["json", "yaml", "protobuf"]
JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
OBJECTS = (JSON, YAML, PROTOBUF)
WATCHES = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
ALL = OBJECTS + WATCHES
_FORMS: dict[str, Form] = {
    JSON: "json",
    "*/*": "json",
    "application/*": "json",
    YAML: "yaml",
    PROTOBUF: "protobuf",
}


def read_form(kind: str) -> Form | None:
    """Return the form that a media type, without parameters, stands for; None for an unknown one."""
    return _FORMS.get(kind)


def choose(accept: str | None) -> Form:
    """Return the form of an answer; JSON also where nothing is known of what is accepted, so that can be said."""
    if not accept or ("yaml" not in accept and "protobuf" not in accept):
        return "json"
    known = [_FORMS.get(part.partition(";")[0].strip()) for part in accept.split(",")]
    return "json" if "json" in known else next((form for form in known if form is not None), "json")


def is_translated(request: web.BaseRequest) -> bool:
    """Return whether the client wants anything else than JSON as it is kept."""
    form = choose(request.headers.get("Accept"))
    return form != "json" or request.query.get("pretty", "") in ("1", "true")


def translate(
    request: web.BaseRequest, response: web.StreamResponse, protobuf: Protobuf
) -> web.StreamResponse:
    """Return an answer in the form that the client takes; NotAcceptable if it has none in that form."""
    if not is_translated(request):
        return response
    form = choose(request.headers.get("Accept"))
    if not isinstance(response, web.Response) or response.content_type != JSON:
        return response
    body = response.body
    if not isinstance(body, bytes):
        return response
    headers = {name: value for name, value in response.headers.items() if name not in _OF_THE_BODY}
    if form == "protobuf":
        body, kind = _write_protobuf(body, protobuf), PROTOBUF
    elif form == "yaml":
        body, kind = _write_yaml(body), YAML
    else:
        body, kind = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2), JSON
    return web.Response(body=body, status=response.status, headers=headers | {"Content-Type": kind})


_OF_THE_BODY = ("Content-Type", "Content-Length")


def _write_protobuf(body: bytes, protobuf: Protobuf) -> bytes:
    try:
        return protobuf.encode(orjson.loads(body))
    except UnwritableError as error:
        raise NotAcceptable(OBJECTS[:2]) from error


def _write_yaml(body: bytes) -> bytes:
    # Rarely asked for, and slow to import.
    import yaml

    text: str = yaml.safe_dump(orjson.loads(body), sort_keys=True)
    return text.encode()


async def translate_events(pieces: AsyncIterator[bytes], protobuf: Protobuf) -> AsyncIterator[bytes]:
    """Yield the events of a watch in protobuf; `pieces` are lines of JSON."""
    async for piece in pieces:
        events = [orjson.loads(line) for line in piece.splitlines()]
        yield b"".join(protobuf.encode_event(each["type"], each["object"]) for each in events)
