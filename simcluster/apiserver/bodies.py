"""Reading the body and the query of a request.

The rule it keeps: a body in an unknown form is refused with the forms that are known; whatever a query says that makes
no sense is refused with the real text. Nothing of a body is ever executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from simcluster.apiserver import forms
from simcluster.apiserver.calls import Call
from simcluster.apiserver.queries import read_flag, read_integer
from simcluster.errors import (
    BadRequest,
    Invalid,
    TooLarge,
    UnsupportedMediaType,
    invalid,
    unsupported,
)
from simcluster.registry import DeleteOptions

LARGEST = 3 * 1024 * 1024
YAMLS = (forms.YAML, "application/x-yaml", "text/yaml")
# The last is how a real server words that none may be given.
_PROPAGATIONS = ("Foreground", "Background", "Orphan", "nil")


async def read_bytes(request: web.BaseRequest) -> bytes:
    """Return the body; TooLarge above three mebibytes."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge(LARGEST) from error


async def read_object(call: Call, kind: str) -> Any:
    """Return the body as JSON values; None if it is empty."""
    request = call.request
    body = await read_bytes(request)
    if not body:
        return None
    content_type = request.content_type if "Content-Type" in request.headers else forms.JSON
    if content_type == forms.JSON:
        return parse_json(body, kind)
    if content_type in YAMLS:
        return parse_yaml(body, kind)
    if content_type == forms.PROTOBUF:
        return call.protobuf.decode(body, kind)
    raise UnsupportedMediaType(forms.OBJECTS)


def parse_json(body: bytes, kind: str) -> Any:
    """Return JSON text as values; BadRequest if it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        shown = body[:200].decode(errors="replace")
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"json parse error: {error} ({shown})"
        ) from error


def parse_yaml(body: bytes, kind: str) -> Any:
    """Return YAML text as values; BadRequest if it is none, or none that JSON has."""
    # Few clients send YAML, and no start-up should wait for it.
    import yaml

    try:
        # What comes back must be JSON: dates, sets and keys that are no texts are refused.
        return orjson.loads(orjson.dumps(yaml.safe_load(body), default=refuse))
    except (yaml.YAMLError, TypeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {kind}): error converting YAML to JSON: {error}"
        ) from error


def refuse(value: object) -> None:
    """Say that a value of YAML has no form in JSON."""
    raise TypeError(f"{value!r} has no form in JSON")


async def read_delete_options(call: Call) -> DeleteOptions:
    """Return the options of a deletion: from the body if there is one, else from the query."""
    body = await read_object(call, "DeleteOptions")
    if body is not None:
        return read_delete_body(body)
    query = call.query
    propagation = query.get("propagationPolicy")
    if propagation is None and "orphanDependents" in query:
        propagation = "Orphan" if read_flag(query, "orphanDependents") else "Background"
    return DeleteOptions(
        grace_s=read_integer(query, "gracePeriodSeconds"),
        propagation=_check_propagation(propagation),
        dry_run=read_dry_run(query, "DeleteOptions"),
    )


def read_delete_body(given: Any) -> DeleteOptions:
    """Return the options of a deletion that stand in a body, its own or an Eviction's."""
    if not isinstance(given, dict):
        raise BadRequest("the object provided is unrecognized (must be of type DeleteOptions)")
    grace_s, propagation = given.get("gracePeriodSeconds"), given.get("propagationPolicy")
    orphan = given.get("orphanDependents")
    if propagation is not None and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        fault = invalid("propagationPolicy", propagation, text)
        raise Invalid("DeleteOptions.meta.k8s.io", "", [fault])
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    if grace_s is not None and not isinstance(grace_s, int):
        raise BadRequest(
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
        )
    wanted = given.get("preconditions") or {}
    return DeleteOptions(
        grace_s=grace_s,
        uid=wanted.get("uid"),
        resource_version=wanted.get("resourceVersion"),
        propagation=_check_propagation(propagation),
        dry_run=read_dry_run({"dryRun": ",".join(given.get("dryRun") or ())}, "DeleteOptions"),
    )


def _check_propagation(propagation: str | None) -> str | None:
    if propagation not in (None, *_PROPAGATIONS[:-1]):
        raise Invalid(
            "DeleteOptions.meta.k8s.io", "", [unsupported("propagationPolicy", propagation, _PROPAGATIONS)]
        )
    return propagation


def read_dry_run(query: Mapping[str, str], kind: str) -> bool:
    """Return whether nothing is to be stored."""
    said = query.get("dryRun", "")
    if said not in ("", "All"):
        raise Invalid(f"{kind}.meta.k8s.io", "", [unsupported("dryRun", [said], ("All",))])
    return said == "All"
