"""What a list or a watch asks for, and which combinations make no sense. Pure.

The rule it keeps: every refusal has the real words, and all that is wrong is said at once.

Sources: k8s.io/apimachinery pkg/apis/meta/internalversion/{defaults.go,validation/validation.go}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simcluster.apiserver.queries import read_flag, read_integer
from simcluster.errors import BadRequest, Cause, Invalid, StatusError, forbidden, invalid, unsupported
from simcluster.selectors import Selector, parse

_MATCH = "resourceVersionMatch"
_NOT_OLDER = "NotOlderThan"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list or watch asks for; `revision` is None if it says nothing.

    `initial_events` of a watch: whether it begins with what is there.
    """

    selector: Selector
    limit: int = 0
    token: str = ""
    revision: int | None = None
    match: str = ""
    bookmarks: bool = False
    initial_events: bool = False
    timeout_s: int | None = None


def read_list_options(query: Mapping[str, str], resource: str, *, watch: bool) -> ListOptions:
    """Read a query; BadRequest or Invalid with the real text."""
    limit, timeout_s = read_integer(query, "limit"), read_integer(query, "timeoutSeconds")
    selector = parse(query.get("labelSelector", ""), query.get("fieldSelector", ""), resource)
    said, match = query.get("resourceVersion", ""), query.get(_MATCH, "")
    initial = read_flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None
    if watch and initial is None and not match and said in ("", "0"):
        # As before there were streamed lists: without a revision a watch begins with what is there.
        initial, match = True, _NOT_OLDER
    token = query.get("continue", "")
    faults = (
        _find_watch_faults(match, token, initial) if watch else _find_list_faults(said, match, token, initial)
    )
    if faults:
        raise Invalid("ListOptions.meta.k8s.io", "", faults)
    return ListOptions(
        selector=selector,
        limit=0 if limit is None else max(limit, 0),
        token=token,
        revision=_read_watched(said) if watch else _read_listed(said),
        match=match,
        bookmarks=read_flag(query, "allowWatchBookmarks"),
        initial_events=bool(initial),
        timeout_s=timeout_s,
    )


def read_revision(query: Mapping[str, str]) -> int | None:
    """Return the revision that a get asks for, None if it says nothing."""
    return _read_watched(query.get("resourceVersion", ""))


def _find_list_faults(said: str, match: str, token: str, initial: bool | None) -> list[Cause]:  # noqa: FBT001
    found = []
    if match:
        if not said:
            found.append(forbidden(_MATCH, f"{_MATCH} is forbidden unless resourceVersion is provided"))
        if token:
            found.append(forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
        if match not in ("Exact", _NOT_OLDER):
            found.append(unsupported(_MATCH, match, ("Exact", _NOT_OLDER, "")))
        if match == "Exact" and said == "0":
            found.append(forbidden(_MATCH, f'{_MATCH} "exact" is forbidden for resourceVersion "0"'))
    if initial is not None:
        found.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def _find_watch_faults(match: str, token: str, initial: bool | None) -> list[Cause]:  # noqa: FBT001
    found = []
    if initial is not None and match != _NOT_OLDER:
        found.append(forbidden(_MATCH, f"sendInitialEvents requires setting {_MATCH} to {_NOT_OLDER}"))
    if match:
        if initial is None:
            text = f"{_MATCH} is forbidden for watch unless sendInitialEvents is provided"
            found.append(forbidden(_MATCH, text))
        if match != _NOT_OLDER:
            found.append(unsupported(_MATCH, match, (_NOT_OLDER,)))
        if token:
            found.append(forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
    return found


def _explain(said: str) -> str:
    text = f'strconv.ParseUint: parsing "{said}": invalid syntax'
    fault = invalid("resourceVersion", said, text)
    return f"{fault.field}: {fault.message}"


def _is_revision(said: str) -> bool:
    return said.isascii() and said.isdigit()


def _read_listed(said: str) -> int | None:
    if said and not _is_revision(said):
        raise BadRequest(f"invalid resource version: {_explain(said)}")
    return int(said) if said else None


def _read_watched(said: str) -> int | None:
    """As `_read_listed`, but refused with 500: the real server finds it too late to blame the client."""
    if said and not _is_revision(said):
        raise StatusError(_explain(said), reason="")
    return int(said) if said else None
