"""One call as a client pod prints it, and the reading of one line of its log.

Rule: a line is a sample, or it is refused with the reason; nothing is guessed and nothing is passed over in
silence. The format is published as `schema/sample-v1.json`, so that any client image can take part; this
module says the same in code, with the standard library only, and a test holds the two together. It does not
read logs: that is `collector`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from harness.errors import SampleError

VERSION = 1
OK = "OK"
_MOST = sys.float_info.max
CODES = frozenset(
    {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    }
)
_REQUIRED = ("v", "variant", "seq", "sent_at", "latency_s", "code", "pod", "peer")


@dataclass(frozen=True, slots=True)
class Sample:
    """One call.

    `sent_at` is the client's wall clock in seconds, `latency_s` seconds until the answer or the
    failure.
    """

    variant: str
    seq: int
    sent_at: float
    latency_s: float
    code: str
    pod: str | None
    peer: str | None
    detail: str | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the call was answered."""
        return self.code == OK

    @property
    def ended_at(self) -> float:
        """When the answer or the failure came, on the client's clock."""
        return self.sent_at + self.latency_s


def parse(line: str) -> Sample:
    """The sample that a line holds. Raises SampleError with the reason."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise SampleError(f"a JSON object was expected, not {_kind(found)}")
    return from_document(found)


def from_document(found: dict[str, Any]) -> Sample:
    """The sample in a decoded JSON object. Raises SampleError with the reason."""
    missing = [field for field in _REQUIRED if field not in found]
    if missing:
        raise SampleError(f"missing: {', '.join(missing)}")
    version = found["v"]
    if isinstance(version, bool) or version != VERSION:
        raise SampleError(f"version {version!r} is not known; this harness reads version {VERSION}")
    code = _text(found, "code")
    if code not in CODES:
        raise SampleError(f"code {code!r} is not the name of a gRPC status")
    return Sample(
        variant=_text(found, "variant"),
        seq=_count(found, "seq"),
        sent_at=_number(found, "sent_at", is_zero_allowed=False),
        latency_s=_number(found, "latency_s", is_zero_allowed=True),
        code=code,
        pod=_optional_text(found, "pod"),
        peer=_optional_text(found, "peer"),
        detail=_optional_text(found, "detail"),
    )


def to_document(sample: Sample) -> dict[str, Any]:
    """The JSON object of a sample, as a client prints it."""
    found: dict[str, Any] = {
        "v": VERSION,
        "variant": sample.variant,
        "seq": sample.seq,
        "sent_at": sample.sent_at,
        "latency_s": sample.latency_s,
        "code": sample.code,
        "pod": sample.pod,
        "peer": sample.peer,
    }
    if sample.detail is not None:
        found["detail"] = sample.detail
    return found


def _text(found: dict[str, Any], field: str) -> str:
    value = found[field]
    if not isinstance(value, str) or not value:
        raise SampleError(f"{field}: a text was expected, not {_kind(value)}")
    return value


def _optional_text(found: dict[str, Any], field: str) -> str | None:
    value = found.get(field)
    if value is not None and not isinstance(value, str):
        raise SampleError(f"{field}: a text or null was expected, not {_kind(value)}")
    return value


def _count(found: dict[str, Any], field: str) -> int:
    value = found[field]
    # JSON Schema counts 3.0 as an integer
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not is_whole or value < 0:
        raise SampleError(f"{field}: a whole number from 0 was expected, not {_kind(value)}")
    return int(value)


def _number(found: dict[str, Any], field: str, *, is_zero_allowed: bool) -> float:
    value = found[field]
    # JSON has no infinity, but Python reads one, and whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST <= value <= _MOST:
        raise SampleError(f"{field}: a number was expected, not {_kind(value)}")
    if value < 0 or (value == 0 and not is_zero_allowed):
        raise SampleError(f"{field}: {value} is too small")
    return float(value)


def _kind(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r}"[:80]
