"""What a request that writes says: the object or patch in its body, and how it is to be written.

The rule it keeps: the options are checked before the body is looked at for what it says twice; who writes is known by
`fieldManager`, else by the User-Agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from simcluster.apiserver import bodies
from simcluster.apiserver.calls import Call
from simcluster.apiserver.queries import read_flag
from simcluster.apiserver.strictness import Form, find_complaints
from simcluster.errors import BadRequest, Invalid, forbidden, required, unsupported
from simcluster.patches import PatchType
from simcluster.registry import Admit, WriteOptions, admit_all, find_manager_faults, name_manager

_VALIDATIONS = ("", "Ignore", "Strict", "Warn")


async def read_object(call: Call, verb: str) -> tuple[Any, WriteOptions]:
    """Return the object to create or to replace another with, and the options."""
    obj = await bodies.read_object(call, call.kind.kind)
    options = read_write_options(call.query, call.warnings, verb=verb, agent=_agent(call), admit=call.admit)
    kind = call.request.content_type
    form: Form | None = "yaml" if kind in bodies.YAMLS else None if "protobuf" in kind else "json"
    return obj, options if obj is None or form is None else await _complain(call, obj, form, options)


async def read_patch(call: Call, kind: PatchType) -> tuple[Any, WriteOptions]:
    """Return a patch and the options; BadRequest if it is no JSON."""
    body = await bodies.read_bytes(call.request)
    options = read_write_options(
        call.query, call.warnings, verb="patch", agent=_agent(call), admit=call.admit
    )
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        why = "unexpected end of JSON input" if error.pos >= len(body.rstrip()) else str(error)
        raise BadRequest(why if kind == "strategic" else f"error decoding patch: {why}") from error
    return patch, await _complain(call, patch, "json patch" if kind == "json" else "patch", options)


async def read_applied(call: Call) -> tuple[dict[str, Any], WriteOptions]:
    """Return what is to be applied, JSON or YAML, and the options."""
    body = await bodies.read_bytes(call.request)
    options = read_write_options(
        call.query, call.warnings, verb="patch", agent=_agent(call), apply=True, admit=call.admit
    )
    applied = _parse_applied(body)
    return applied, await _complain(call, applied, "yaml", options)


async def _complain(call: Call, value: Any, form: Form, options: WriteOptions) -> WriteOptions:
    body = await bodies.read_bytes(call.request)
    found = find_complaints(body, value, form, options.field_validation)
    return replace(options, complaints=found) if found else options


def _agent(call: Call) -> str:
    return call.request.headers.get("User-Agent", "")


def read_write_options(
    query: Mapping[str, str],
    warnings: list[str],
    *,
    verb: str,
    agent: str,
    apply: bool = False,
    admit: Admit = admit_all,
) -> WriteOptions:
    """Return the options of a write; its warnings are added to `warnings`. Invalid says all that is wrong."""
    kind = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}[verb]
    manager, validation = query.get("fieldManager", ""), query.get("fieldValidation", "")
    force = read_flag(query, "force")
    faults = []
    if apply and not manager:
        faults.append(required("fieldManager", "is required for apply patch"))
    if verb == "patch" and not apply and "force" in query:
        faults.append(forbidden("force", "may not be specified for non-apply patch"))
    faults += find_manager_faults(manager, "fieldManager")
    if query.get("dryRun", "") not in ("", "All"):
        faults.append(unsupported("dryRun", [query["dryRun"]], ("All",)))
    if validation not in _VALIDATIONS:
        faults.append(unsupported("fieldValidation", validation, _VALIDATIONS))
    if faults:
        raise Invalid(f"{kind}.meta.k8s.io", "", faults)
    chosen: Any = validation if validation else "Warn"
    return WriteOptions(
        dry_run=query.get("dryRun") == "All",
        field_validation=chosen,
        field_manager=manager if manager else name_manager(agent),
        force=force,
        warn=warnings.append,
        is_patch=verb == "patch",
        admit=admit,
    )


def _parse_applied(body: bytes) -> dict[str, Any]:
    """Return what is applied: JSON or YAML, an object or nothing; BadRequest if it is neither."""
    try:
        applied = orjson.loads(body) if body.lstrip()[:1] in (b"{", b"[") else _load_yaml(body)
    except orjson.JSONDecodeError:
        applied = _load_yaml(body)
    if applied is None:
        return {}
    if not isinstance(applied, dict):
        found = {list: "array", str: "string", bool: "bool"}.get(type(applied), "number")
        raise BadRequest(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
            f"{found} into Go value of type map[string]interface {{}}"
        )
    return applied


def _load_yaml(body: bytes) -> Any:
    import yaml

    try:
        return orjson.loads(orjson.dumps(yaml.safe_load(body), default=bodies.refuse))
    except yaml.MarkedYAMLError as error:
        raise BadRequest(
            f"error decoding YAML: error converting YAML to JSON: yaml: {error.problem}"
        ) from error
    except (yaml.YAMLError, TypeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"error decoding YAML: error converting YAML to JSON: yaml: {error}") from error
