"""One call, as one record, as one line: the samples that a client prints. Pure.

The rule it keeps: a line says only what the client knows. `pod` comes from the answer, `peer` from what gRPC
tells; where nothing tells, the field is null. The format is the project's sample schema, version 1.
"""

import json
import re
from dataclasses import dataclass

VERSION = 1
DETAIL_LENGTH = 200

_GREETING = re.compile(r'"(?P<pod>[^"]+)" says: Hello ')
_PEER = re.compile(
    r"\bipv(?:4:(?P<v4>\d{1,3}(?:\.\d{1,3}){3}:\d{1,5})|6:(?P<v6>(?:%5B|\[)[0-9a-fA-F:.%]+?(?:%5D|\]):\d{1,5}))"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """`sent_at` is wall clock, in seconds since the epoch; `code` a gRPC status name; `detail` short, for
    failures.
    """

    variant: str
    seq: int
    sent_at: float
    latency_s: float
    code: str
    message: str | None = None
    peer: str | None = None
    detail: str | None = None

    @property
    def pod(self) -> str | None:
        """The pod that answered, None where no Greeter did."""
        return None if self.message is None else pod_of(self.message)


def encode_json(sample: Sample) -> str:
    """The sample as one line of JSON, without its line end."""
    record: dict[str, object] = {
        "v": VERSION,
        "variant": sample.variant,
        "seq": sample.seq,
        "sent_at": round(sample.sent_at, 6),
        "latency_s": round(sample.latency_s, 6),
        "code": sample.code,
        "pod": sample.pod,
        "peer": sample.peer,
    }
    if sample.detail:
        record["detail"] = shorten(sample.detail)
    return json.dumps(record, ensure_ascii=True)


def encode_text(sample: Sample) -> str:
    """The sample as a line for people, as the first demo of this project printed it."""
    if sample.message is not None:
        return f"Greeting: {' '.join(sample.message.splitlines())}"
    detail = "" if not sample.detail else f": {shorten(sample.detail)}"
    return f"Failed: {sample.code}{detail}"


def pod_of(message: str) -> str | None:
    """The pod's name in the Greeter's answer."""
    found = _GREETING.match(message)
    return None if found is None else found["pod"]


def peer_of(debug_string: str) -> str | None:
    """The last address that gRPC's debug string of a failed call names, as `ip:port`; None where it names
    none.

    gRPC names one where it could not connect: the address that it tried last. A connection that broke under a
    call (`Socket closed`) and a deadline name none.
    """
    addresses = [found["v4"] or found["v6"] for found in _PEER.finditer(debug_string)]
    return addresses[-1].replace("%5B", "[").replace("%5D", "]") if addresses else None


def shorten(text: str) -> str:
    """One line of at most DETAIL_LENGTH characters."""
    line = " ".join(text.split())
    return line if len(line) <= DETAIL_LENGTH else line[: DETAIL_LENGTH - 1] + "…"
