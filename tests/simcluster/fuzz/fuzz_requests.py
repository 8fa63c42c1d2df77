"""Requests that make less and less sense: valid ones of every kind and verb, then broken in a few places.

Everything comes from the one source of chance that is given: the same seed makes the same requests.
"""

from __future__ import annotations

import json
import random
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from simcluster.schema import Resource, load
from simcluster.schema.types import Form, Type

CATALOGUE = load()
RESOURCES = sorted(CATALOGUE, key=lambda each: each.name)
NAMESPACES = ("fuzz-a", "fuzz-b")
NAMES = ("a", "b", "c")
_DEEP = 4
_STRATEGIC = "application/strategic-merge-patch+json"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_APPLY = "application/apply-patch+yaml"
_JSON = "application/json"
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_PATCHES = (_STRATEGIC, _MERGE, _JSON_PATCH, _APPLY)
_MEDIA = (
    *_PATCHES,
    _JSON,
    _PROTOBUF,
    "application/yaml",
    "text/plain",
    "",
    "application/json; charset=x",
    "a/b;;",
)
# What finds the places where a form was taken for granted.
_ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63 - 1,
    2**63,
    2**70,
    1.5,
    1e300,
    "",
    "a",
    "A_b",
    "-1",
    "0",
    "1.5",
    "100%",
    "50%",
    "1e400",
    "10Mi",
    "9999999999999999999Ei",
    "ä",
    "\u0000",
    "\ud7ff",
    "\U0001f600",
    "a" * 300,
    "a/b",
    "a.b/c",
    "../..",
    "2026-01-01T00:00:00Z",
    "9999-99-99T99:99:99Z",
    "0001-01-01T00:00:00Z",
    [],
    [None],
    [[]],
    [1],
    ["a"],
    ["a", "a"],
    [{}],
    [{"name": "a"}, {"name": "a"}],
    {},
    {"": ""},
    {"a": None},
    {"a": {"a": {}}},
    {"$patch": "replace"},
    {"$patch": "delete"},
    {"$patch": "x"},
    {"$retainKeys": ["a"]},
    {"$setElementOrder/containers": [{"name": "z"}]},
    {"$deleteFromPrimitiveList/finalizers": ["a"]},
    {"name": "x", "$patch": "delete"},
)
_SELECTORS = (
    "a=b",
    "a",
    "!a",
    "a in (b,c)",
    "a notin (b)",
    "a==b,c!=d",
    "a in ()",
    "a in (",
    ",",
    "=",
    "a=b=c",
    "a>1",
    "a<x",
    "ä=b",
    "a/b/c=d",
    "(",
    "in in (in)",
    "a in (b",
    "!!a",
    "a,,b",
    "a=b,",
    "\\",
    "a=\\,b",
    "x" * 70,
)
_FIELDS = (
    "metadata.name=a",
    "metadata.namespace!=a",
    "status.phase=Running",
    "spec.nodeName=",
    "spec.host=x",
    "x=y",
    "=",
    "a",
    "metadata.name",
    "metadata.name=a,metadata.name=b",
    "status.phase in (a)",
    "involvedObject.uid=a",
    "metadata.name=%",
    "metadata.name=\\",
    "type=Opaque",
    "spec.unschedulable=true",
    "spec.hostNetwork=x",
)
_QUERY: dict[str, tuple[str, ...]] = {
    "labelSelector": _SELECTORS,
    "fieldSelector": _FIELDS,
    "limit": ("1", "0", "-1", "x", "9" * 30, "2"),
    "continue": (
        "",
        "x",
        "e30",
        "bnVsbA",
        "W10",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",
        "ä",
        "e" * 5000,
    ),
    "resourceVersion": ("0", "1", "5", "x", "-1", "9" * 40, "", "٣"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x"),
    "sendInitialEvents": ("true", "false", "x"),
    "allowWatchBookmarks": ("true", "1", "x"),
    "timeoutSeconds": ("1", "0", "-1", "x", "9" * 30),
    "watch": ("true", "1", "", "false", "x", "True"),
    "dryRun": ("All", "", "x", "All,All"),
    "fieldManager": ("m", "", "x" * 200, "ä", "\u0000"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x"),
    "force": ("true", "false", "x"),
    "pretty": ("true", "x"),
    "gracePeriodSeconds": ("0", "5", "-1", "x", "9" * 30),
    "propagationPolicy": ("Foreground", "Background", "Orphan", "x"),
    "orphanDependents": ("true", "x"),
    "ignoreStoreReadErrorWithClusterBreakingPotential": ("true",),
    "includeObject": ("None", "Object", "Metadata", "x"),
    "container": ("c", "x", "", "ä"),
    "tailLines": ("1", "-1", "x", "9" * 20),
    "sinceSeconds": ("1", "0", "x", "9" * 20),
    "sinceTime": (
        "2026-01-01T00:00:00Z",
        "x",
        "9999-99-99T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "2026-01-01T00:00:00+99:99",
    ),
    "limitBytes": ("1", "0", "x"),
    "stream": ("All", "Stdout", "Stderr", "x"),
    "previous": ("true", "x"),
    "timestamps": ("true", "x"),
    "follow": ("x", "false"),
    "stdout": ("true", "x"),
    "ports": ("1", "0", "x", "99999", "-1", "1,2"),
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"): ("x",),
}
_HEADERS: dict[str, tuple[str, ...]] = {
    "Accept": (
        "application/json",
        "*/*",
        "application/yaml",
        _PROTOBUF,
        "text/html",
        "",
        ";",
        ",",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        "application/json;as=Table;v=v9;g=x",
        "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
        "application/json;q=x",
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
        "a/b;as",
        "application/json;stream=watch",
        "ä",
    ),
    "If-None-Match": ('"x"', "*", ""),
    "User-Agent": ("", "/", "x" * 500, "ä"),
    "Impersonate-User": ("a", "", "system:serviceaccount:fuzz-a:default", "system:serviceaccount:x", "ä"),
    "Impersonate-Group": ("g", ""),
    "Impersonate-Uid": ("u",),
    "Impersonate-Extra-a%2Fb": ("u", ""),
    "Impersonate-Extra-%zz": ("u",),
    "Upgrade": ("websocket", "SPDY/3.1", "x"),
    "Connection": ("Upgrade", "close", "x"),
    "Sec-WebSocket-Key": ("x", "dGhlIHNhbXBsZSBub25jZQ=="),
    "Sec-WebSocket-Version": ("13", "x", "0"),
    "Sec-WebSocket-Protocol": ("v5.channel.k8s.io", "v4.channel.k8s.io", "x", "SPDY/3.1+portforward.k8s.io"),
    "Content-Encoding": ("gzip", "deflate", "x"),
    "Accept-Encoding": ("gzip", "x"),
    "Expect": ("100-continue", "x"),
    "X-Stream-Protocol-Version": ("v4.channel.k8s.io", "x"),
}
_PATHS = (
    "/",
    "/api",
    "/api/",
    "/apis",
    "/api/v1",
    "/api/v9",
    "/apis/apps",
    "/apis/apps/v1",
    "/apis/x/v1",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/api/v1",
    "/openapi/v3/apis/apps/v1",
    "/openapi/v3/x",
    "/version",
    "/version/x",
    "/healthz",
    "/livez/x",
    "/readyz?verbose",
    "/metrics",
    "/logs",
    "//",
    "/api//v1//pods",
    "/api/v1/namespaces/",
    "/api/v1/watch/pods",
    "/api/v1/watch/namespaces/fuzz-a/pods/a",
    "/api/v1/namespaces/fuzz-a",
    "/api/v1/namespaces/fuzz-a/status",
    "/api/v1/namespaces/fuzz-a/finalize",
    "/%",
    "/%00",
    "/%ff%fe",
    "/%ed%a0%80",
    "/api/v1/pods/..",
    "/api/v1/namespaces/%2e%2e/pods",
    "*",
    "/api/v1/namespaces/fuzz-a/pods/a/log/x",
    "/api/v1/nodes/a/proxy/x",
    "/debug/pprof",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
    "/apis/apps/v1/namespaces/fuzz-a/deployments/a/scale",
    "/api/v1/pods/%00",
    "/api/v1/namespaces/fuzz-a/services/a:80/proxy/",
    "/api/v1/namespaces/fuzz-a/services/a/proxy",
    "/api/v1/namespaces/fuzz-a/pods/a/proxy/x/y",
)
_SEGMENTS = (
    "a",
    "",
    "%00",
    "%ff",
    "..",
    "%2e%2e",
    "%2f",
    "x" * 300,
    "ä",
    "status",
    "scale",
    "log",
    "exec",
    "namespaces",
    "v1",
    "*",
    "+",
    "%E2%82%AC",
)
_SAFE_COMMANDS = ("true", "cat", "ls", "nosuchprogram")


@dataclass(frozen=True, slots=True)
class Request:
    """One request; the body may be broken text already."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    about: str = field(default="", compare=False)

    @property
    def target(self) -> str:
        """Path and query as they go over the wire."""
        quoted = urllib.parse.quote(self.path, safe="/%:*+,;=?&", errors="surrogatepass")
        query = urllib.parse.urlencode(self.query, errors="surrogatepass")
        return f"{quoted}?{query}" if query else quoted


def make(chance: random.Random) -> Request:
    """Make one request."""
    request = _make_plain(chance)
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 3))):
        request = chance.choice(_BREAKERS)(request, chance)
    return request


def _make_plain(chance: random.Random) -> Request:
    resource = chance.choice(RESOURCES)
    collection, name = _collection(resource, chance.choice(NAMESPACES)), chance.choice(NAMES)
    one = f"{collection}/{name}"
    as_json = (("Content-Type", _JSON),)
    body = make_object(resource, name, chance)
    match chance.randrange(14):
        case 0 | 1 | 2 | 3:
            return Request("POST", collection, (), as_json, _dump(body))
        case 4:
            return Request("GET", one)
        case 5:
            return Request("GET", collection, _some_query(chance))
        case 6 | 7:
            return Request("PUT", one, (), as_json, _dump(body))
        case 8 | 9 | 10:
            kind, patch = _make_patch(resource, body, chance)
            manager = (("fieldManager", "fuzz"),) if kind == _APPLY else ()
            return Request("PATCH", one, manager, (("Content-Type", kind),), _dump(patch))
        case 11:
            return Request("DELETE", one)
        case 12:
            return _make_special(resource, one, body, chance)
    return Request("GET", chance.choice(_PATHS))


def _make_special(resource: Resource, one: str, body: Any, chance: random.Random) -> Request:
    subresources = sorted(resource.subresources)
    if not subresources:
        return Request("DELETE", one.rpartition("/")[0], (("labelSelector", chance.choice(_SELECTORS)),))
    name = chance.choice(subresources)
    kind = resource.subresources[name]
    as_json = (("Content-Type", _JSON),)
    if name in ("exec", "attach", "log", "portforward", "proxy"):
        return Request("GET", f"{one}/{name}", (("command", chance.choice(_SAFE_COMMANDS)), ("stdout", "1")))
    method = {"create": "POST", "update": "PUT", "patch": "PATCH", "get": "GET"}.get(
        chance.choice(kind.verbs), "GET"
    )
    if kind.kind != resource.kind:
        body = _fill(CATALOGUE.type_of(kind.group, kind.version, kind.kind), chance, 0)
        body |= {"apiVersion": f"{kind.group}/{kind.version}".lstrip("/"), "kind": kind.kind}
    if method == "PATCH":
        kind_of, patch = _make_patch(resource, body, chance)
        return Request(
            "PATCH", f"{one}/{name}", (("fieldManager", "fuzz"),), (("Content-Type", kind_of),), _dump(patch)
        )
    return Request(method, f"{one}/{name}", (), as_json, b"" if method == "GET" else _dump(body))


def _collection(resource: Resource, namespace: str) -> str:
    root = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
    return (
        f"{root}/namespaces/{namespace}/{resource.plural}"
        if resource.namespaced
        else f"{root}/{resource.plural}"
    )


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


# --- Objects


def make_object(resource: Resource, name: str, chance: random.Random) -> dict[str, Any]:
    """An object of a kind: from a valid one where there is one, else from the fields that its type has."""
    from fuzz_objects import VALID

    valid = VALID.get(resource.name)
    if valid is not None and chance.random() < 0.8:
        made: dict[str, Any] = json.loads(json.dumps(valid))
    else:
        made = _fill(resource.type, chance, 0)
    made |= {"apiVersion": resource.api_version, "kind": resource.kind}
    made["metadata"] = {"name": name, "labels": {"a": chance.choice(("b", "c"))}} | made.get("metadata", {})
    if chance.random() < 0.1:
        made["metadata"] = {"generateName": "g-"}
    return made


def _fill(type_: Type, chance: random.Random, depth: int) -> Any:
    """A value of a type."""
    match type_.form:
        case Form.OBJECT:
            wanted = 0.5 if depth < _DEEP else 0.0
            return {
                each.name: _fill(each.type, chance, depth + 1)
                for each in type_.fields.values()
                if (each.required or chance.random() < wanted)
                and each.name not in ("metadata", "managedFields")
            }
        case Form.LIST:
            return (
                [_fill(type_.item, chance, depth + 1) for _ in range(chance.choice((0, 1, 2)))]
                if depth < 6
                else []
            )
        case Form.MAP:
            return {chance.choice("ab"): _fill(type_.item, chance, depth + 1)} if depth < 6 else {}
        case Form.STRING:
            return chance.choice(type_.enum) if type_.enum else chance.choice(("a", "b", "x-1", ""))
        case Form.INTEGER | Form.NUMBER | Form.INT_OR_STRING:
            return chance.choice((0, 1, 2, 80, 65536))
        case Form.BOOLEAN:
            return chance.random() < 0.5
        case Form.TIME:
            return "2026-01-01T00:00:00Z"
        case Form.QUANTITY:
            return chance.choice(("1", "100m", "1Gi"))
    return {"a": 1}


def _make_patch(resource: Resource, body: dict[str, Any], chance: random.Random) -> tuple[str, Any]:
    kind = chance.choice(_PATCHES)
    if kind != _JSON_PATCH:
        if kind == _APPLY:
            return kind, body
        part = {key: value for key, value in body.items() if chance.random() < 0.5}
        return kind, part
    pointers = [pointer for pointer, _ in _places(body)]
    return kind, [
        {
            "op": chance.choice(("add", "replace", "remove", "test", "move", "copy", "x")),
            "path": chance.choice(
                [*pointers, "", "/-", "/a~2", "a", "/metadata/labels/a~1b", "/spec/containers/9", "/metadata"]
            ),
            "from": chance.choice(pointers),
            "value": chance.choice([*_ODD, body]),
        }
        for _ in range(chance.randrange(1, 4))
    ]


def _places(value: Any, pointer: str = "") -> list[tuple[str, Any]]:
    """Every place in a JSON value: its pointer, and what is there."""
    found = [(pointer, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        found += _places(each, f"{pointer}/{key}")
    return found


# --- What breaks them


def _break_value(request: Request, chance: random.Random) -> Request:
    """Put something odd at some place of the body."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return request  # broken already
    pointer = chance.choice(_places(body))[0]
    odd = chance.choice(_ODD)
    return replace(request, body=_dump(_put(body, pointer.split("/")[1:], odd)))


def _put(value: Any, way: list[str], odd: Any) -> Any:
    if not way:
        return odd
    if isinstance(value, dict):
        return value | {way[0]: _put(value[way[0]], way[1:], odd)} if way[0] in value else odd
    index = int(way[0])
    return [*value[:index], _put(value[index], way[1:], odd), *value[index + 1 :]]


def _break_bytes(request: Request, chance: random.Random) -> Request:
    body = request.body
    at = chance.randrange(len(body) + 1)
    choices: tuple[Callable[[], bytes], ...] = (
        lambda: body[:at],
        lambda: body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :],
        lambda: b"[" * 3000 + body + b"]" * 3000,
        lambda: b'{"metadata":' * 500 + (body or b"{}") + b"}" * 500,
        lambda: b"k8s\x00" + body,
        lambda: b"k8s\x00" + bytes(chance.randrange(256) for _ in range(chance.randrange(60))),
        lambda: b"\xff\xfe" + body,
        lambda: b"null",
        lambda: b"[]",
        lambda: b'"x"',
        lambda: b'{"a": NaN}',
        lambda: b"a: &a [*a]\n",
        lambda: b"!!python/object/apply:os.getcwd []\n",
        lambda: b'{"metadata":{"name":"a","name":"b"},"metadata":{}}',
    )
    return replace(request, body=chance.choice(choices)())


def _break_query(request: Request, chance: random.Random) -> Request:
    return replace(request, query=request.query + _some_query(chance))


def _some_query(chance: random.Random) -> tuple[tuple[str, str], ...]:
    names = chance.sample(sorted(_QUERY), chance.randrange(1, 4))
    return tuple((name, chance.choice(_QUERY[name])) for name in names)


def _break_header(request: Request, chance: random.Random) -> Request:
    names = chance.sample(sorted(_HEADERS), chance.randrange(1, 4))
    return replace(
        request, headers=request.headers + tuple((name, chance.choice(_HEADERS[name])) for name in names)
    )


def _break_media(request: Request, chance: random.Random) -> Request:
    others = tuple(pair for pair in request.headers if pair[0] != "Content-Type")
    return replace(request, headers=(*others, ("Content-Type", chance.choice(_MEDIA))))


def _break_path(request: Request, chance: random.Random) -> Request:
    parts = request.path.split("/")
    parts[chance.randrange(len(parts))] = chance.choice(_SEGMENTS)
    if chance.random() < 0.3:
        parts.append(chance.choice(_SEGMENTS))
    return replace(request, path="/".join(parts) or "/")


def _break_method(request: Request, chance: random.Random) -> Request:
    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X", "CONNECT")
    return replace(request, method=chance.choice(methods))


_BREAKERS = (
    _break_value,
    _break_value,
    _break_value,
    _break_bytes,
    _break_query,
    _break_query,
    _break_header,
    _break_media,
    _break_path,
    _break_method,
)
