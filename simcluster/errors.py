"""The errors of the Kubernetes API, as exceptions that know their `Status` object.

The rule it keeps: every refusal that a client can see is a `StatusError`, worded and coded as a real API
server words and codes it. It decides nothing: whoever raises one has decided.

Sources of the texts: k8s.io/apimachinery/pkg/api/errors/errors.go and pkg/util/validation/field/errors.go.
"""

# ruff: noqa: N818 - the names are Kubernetes' own reasons, which do not end in Error

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason among several why an object was refused: `reason` is a CauseType, `field` a path."""

    reason: str
    message: str
    field: str = ""

    def as_object(self) -> dict[str, str]:
        """Return the cause as it stands in `status.details.causes`."""
        shown = {"reason": self.reason, "message": self.message}
        return shown | {"field": self.field} if self.field else shown


class StatusError(Exception):
    """A refusal: HTTP code, machine-readable reason, human-readable message, details."""

    code = 500
    reason = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
        status: str = "Failure",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = type(self).code if code is None else code
        self.reason = type(self).reason if reason is None else reason
        self.details: dict[str, Any] = dict(details) if details is not None else {}
        self.status = status

    def as_object(self) -> dict[str, Any]:
        """Return the `meta/v1 Status` object that a client gets as the body."""
        shown: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": self.status,
            "message": self.message,
        }
        if self.reason:
            shown["reason"] = self.reason
        if self.details:
            shown["details"] = self.details
        return shown | {"code": self.code}


class PlainError(Exception):
    """A refusal in plain text: of what a real API server only passes on to a node."""

    def __init__(self, message: str, code: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.headers = headers


def _about(resource: str, name: str, **more: object) -> dict[str, Any]:
    plural, _, group = resource.partition(".")
    named = {"name": name} if name else {}
    return named | ({"group": group} if group else {}) | {"kind": plural} | more


class BadRequest(StatusError):
    """400: the request itself makes no sense."""

    code, reason = 400, "BadRequest"


class Unauthorized(StatusError):
    """401: nobody is known by this certificate or token."""

    code, reason = 401, "Unauthorized"

    def __init__(self, why: str = "") -> None:
        super().__init__("Unauthorized")
        self.why = why


class Forbidden(StatusError):
    """403: known, but not allowed; `because` is the sentence after the colon."""

    code, reason = 403, "Forbidden"

    def __init__(self, resource: str, name: str, because: str, causes: Sequence[Cause] = ()) -> None:
        self.because = because
        shown = f' "{name}"' if name else ""
        prefix = f"{resource}{shown} is forbidden" if resource else "forbidden"
        more = {"causes": [cause.as_object() for cause in causes]} if causes else {}
        super().__init__(f"{prefix}: {because}", details=_about(resource, name, **more) if resource else {})


class NotFound(StatusError):
    """404: no such object; `resource` is `plural[.group]`."""

    code, reason = 404, "NotFound"

    def __init__(self, resource: str, name: str) -> None:
        super().__init__(f'{resource} "{name}" not found', details=_about(resource, name))


class ResourceNotFound(StatusError):
    """404: no such path on this server."""

    code, reason = 404, "NotFound"

    def __init__(self) -> None:
        super().__init__("the server could not find the requested resource")


class Unreadable(BadRequest):
    """400: the object can not be read as its kind; `why` is the text without its beginning."""

    def __init__(self, prefix: str, why: str) -> None:
        super().__init__(prefix + why)
        self.why = why


class MethodNotAllowed(StatusError):
    """405: the path exists, the verb does not."""

    code, reason = 405, "MethodNotAllowed"

    def __init__(self) -> None:
        super().__init__("the server does not allow this method on the requested resource")


class NotAcceptable(StatusError):
    """406: the client accepts no form that the server can write; `is_unknown`, none that it has heard of."""

    code, reason = 406, "NotAcceptable"

    def __init__(self, available: Iterable[str], *, is_unknown: bool = False) -> None:
        shown = ", ".join(available)
        super().__init__(
            f"406: Not Acceptable\n\nAvailable representations: {shown}"
            if is_unknown
            else f"only the following media types are accepted: {shown}"
        )

    @classmethod
    def of_view(cls, wrong: str) -> NotAcceptable:
        """Return the refusal of a view that does not fit what was asked for."""
        error = cls(())
        error.message = f"you requested {wrong}"
        return error


class AlreadyExists(StatusError):
    """409: the name is taken; `is_ending`, by what is being deleted."""

    code, reason = 409, "AlreadyExists"

    def __init__(self, resource: str, name: str, *, is_ending: bool = False) -> None:
        why = "object is being deleted: " if is_ending else ""
        super().__init__(f'{why}{resource} "{name}" already exists', details=_about(resource, name))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


class Conflict(StatusError):
    """409: somebody else changed the object, or a precondition does not hold."""

    code, reason = 409, "Conflict"

    def __init__(self, resource: str, name: str, because: str = STALE) -> None:
        super().__init__(
            f'Operation cannot be fulfilled on {resource} "{name}": {because}',
            details=_about(resource, name),
        )


class Expired(StatusError):
    """410: the history that was asked for has been compacted away."""

    code, reason = 410, "Expired"

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")


class ListExpired(StatusError):
    """410: the state that a list was asked for has been compacted away."""

    code, reason = 410, "Expired"

    def __init__(self) -> None:
        super().__init__("The resourceVersion for the provided list is too old.")


class ContinueExpired(StatusError):
    """410: a list can not be continued at its revision; `token` continues it at the newest."""

    code, reason = 410, "Expired"

    def __init__(self, token: str) -> None:
        super().__init__(
            "The provided continue parameter is too old to display a consistent list result. You can start a "
            "new list without the continue parameter, or use the continue token in this response to retrieve "
            "the remainder of the results. Continuing with the provided token results in an inconsistent list "
            "- objects that were created, modified, or deleted between the time the first chunk was returned "
            "and now may show up in the list.",
        )
        self.token = token

    def as_object(self) -> dict[str, Any]:
        """Return the Status with the token that goes on from here."""
        return super().as_object() | {"metadata": {"continue": self.token}}


class TooLarge(StatusError):
    """413: the body is larger than the server reads."""

    code, reason = 413, "RequestEntityTooLarge"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Request entity too large: limit is {limit}")


class UnsupportedMediaType(StatusError):
    """415: the body is in a form that the server does not read."""

    code, reason = 415, "UnsupportedMediaType"

    def __init__(self, accepted: Iterable[str]) -> None:
        listed = ", ".join(accepted)
        super().__init__(
            "the body of the request was in an unknown format - accepted media types include: " + listed
        )


class UnsupportedPatch(StatusError):
    """415: the patch is of a type that the server does not know, which is all that a real one says."""

    code, reason = 415, "UnsupportedMediaType"

    def __init__(self) -> None:
        super().__init__("415: Unsupported Media Type")

    def as_object(self) -> dict[str, Any]:
        """Return the Status; its details are there, and empty."""
        return super().as_object() | {"details": {}}


class Invalid(StatusError):
    """422: the object breaks rules of its kind; `causes` say which, `kind` is `Kind[.group]`."""

    code, reason = 422, "Invalid"

    def __init__(self, kind: str, name: str, causes: Sequence[Cause]) -> None:
        # What two checks say alike is two causes, and said once.
        said = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
        listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
        bare, _, group = kind.partition(".")
        about = {"name": name} if name else {}
        about |= {"group": group} if group else {}
        about |= {"kind": bare} if bare else {}
        details = about | {"causes": [cause.as_object() for cause in causes]}
        super().__init__(f'{kind} "{name}" is invalid: {listed}', details=details)
        self.causes = tuple(causes)


class TooManyRequests(StatusError):
    """429: not now."""

    code, reason = 429, "TooManyRequests"


class TooLargeVersion(StatusError):
    """504: the revision that was asked for lies in the future."""

    code, reason = 504, "Timeout"

    def __init__(self, asked: int, current: int) -> None:
        super().__init__(
            f"Timeout: Too large resource version: {asked}, current: {current}",
            details={
                "causes": [
                    {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"},
                ],
                "retryAfterSeconds": 1,
            },
        )


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, text: str = "") -> Cause:
    """Say that a field must be given."""
    return Cause("FieldValueRequired", f"Required value: {text}" if text else "Required value", field)


def invalid(field: str, value: object, text: str) -> Cause:
    """Say that a field's value breaks a rule."""
    return Cause("FieldValueInvalid", f"Invalid value: {_quote(value)}: {text}", field)


def forbidden(field: str, text: str) -> Cause:
    """Say that a field must not be given or changed here."""
    return Cause("FieldValueForbidden", f"Forbidden: {text}", field)


def unsupported(field: str, value: object, allowed: Iterable[str]) -> Cause:
    """Say which values a field takes."""
    listed = ", ".join(_quote(each) for each in allowed)
    return Cause(
        "FieldValueNotSupported", f"Unsupported value: {_quote(value)}: supported values: {listed}", field
    )


def duplicate(field: str, value: object) -> Cause:
    """Say that a value must be unique and is not."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {_quote(value)}", field)


def absent(field: str, value: object) -> Cause:
    """Say that a field names something that does not exist."""
    return Cause("FieldValueNotFound", f"Not found: {_quote(value)}", field)
