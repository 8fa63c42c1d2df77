"""What happened in one scenario, on one wall clock: samples, steps, endpoints, pods. And its form on disk.

Rule: a history holds facts as they were received and nothing that was worked out from them, so that a saved
one can be judged again, by later and better judges, with no cluster. Each record has `at`: the harness's
wall clock at receipt, in seconds since 1970. On disk it is one JSON object a line, a header first; several
histories may follow each other in one file. No clock, no network, no judgement.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness import samples
from harness.errors import HistoryError, SampleError
from harness.samples import Sample


@dataclass(frozen=True, slots=True)
class Call:
    """A sample, the client pod that printed it, and when its line arrived."""

    at: float
    client: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of a client's log that looks like a sample but is none, and why."""

    at: float
    client: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A line of a client's log that does not look like a sample: what the program says for people, on stderr.

    Kubernetes hands both streams out as one log.
    """

    at: float
    client: str
    text: str


@dataclass(frozen=True, slots=True)
class StepDone:
    """A thing that was done to the cluster: began `at`, returned `done_at`. `pods` are those it was aimed at.

    `phase` is the name of the phase that it opens; None where it opens none (an unnamed wait). `struck_at`
    is when a signal had reached its process; None for all steps that send none.
    """

    at: float
    done_at: float
    number: int
    verb: str
    text: str
    phase: str | None
    pods: tuple[str, ...] = ()
    struck_at: float | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a slice. `is_ready` follows the API's rule that an absent value means ready."""

    pod: str | None
    address: str
    is_ready: bool
    is_serving: bool
    is_terminating: bool


@dataclass(frozen=True, slots=True)
class SliceSeen:
    """An EndpointSlice as the watch showed it; all its endpoints, or none when it was deleted."""

    at: float
    service: str
    name: str
    is_deleted: bool
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A pod as the watch showed it."""

    at: float
    name: str
    app: str | None
    address: str | None
    phase: str
    is_ready: bool
    is_terminating: bool
    is_deleted: bool
    restarts: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the run itself that a reader of the numbers should know, e.g.

    A log that had to be opened again.
    """

    at: float
    text: str


Record = Call | BadLine | Said | StepDone | SliceSeen | PodSeen | Note


@dataclass(frozen=True, slots=True)
class History:
    """One scenario's run. `text` is the scenario file itself; the load counts from `began_at` to `ended_at`.

    Both are None where set-up failed before any load was counted; `failure` then says why.
    """

    scenario: str
    path: str
    text: str
    backend: str
    kubernetes: str
    records: tuple[Record, ...] = ()
    began_at: float | None = None
    ended_at: float | None = None
    failure: str | None = None
    variants: tuple[str, ...] = field(default=())

    def calls(self) -> Iterator[Call]:
        """Every sample, in order of arrival."""
        return (record for record in self.records if isinstance(record, Call))

    def steps(self) -> Iterator[StepDone]:
        """Every step, in order."""
        return (record for record in self.records if isinstance(record, StepDone))


_KINDS: dict[str, type[Any]] = {
    "bad_line": BadLine,
    "said": Said,
    "step": StepDone,
    "slice": SliceSeen,
    "pod": PodSeen,
    "note": Note,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_INSTANT = (int, float, type(None))
_HEADER_TYPES: dict[str, tuple[type[Any], ...]] = {
    **dict.fromkeys(("scenario", "path", "text", "backend", "kubernetes"), (str,)),
    **dict.fromkeys(("began_at", "ended_at"), _INSTANT),
    "failure": (str, type(None)),
    "variants": (list, type(None)),
}
_HEADER = tuple(entry.name for entry in fields(History) if entry.name != "records")


def to_lines(history: History) -> Iterator[str]:
    """The history as JSON lines, without line ends."""
    header = {name: getattr(history, name) for name in _HEADER}
    yield _dump({"kind": "history", "schema": 1, **header})
    for record in history.records:
        yield _dump(_to_document(record))


def from_lines(lines: Iterable[str]) -> list[History]:
    """Every history in the lines. Raises HistoryError with the line's number.

    A last line that was cut off (the writer was killed) is left out and noted in its history.
    """
    found: list[tuple[dict[str, Any], list[Record]]] = []
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    for number, line in numbered:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            if number == numbered[-1][0] and found:
                found[-1][1].append(Note(_last_at(found[-1][1]), f"line {number} of the history was cut off"))
                break
            raise HistoryError(f"line {number}: not JSON") from None
        _take(document, number, found)
    return [_build(header, records) for header, records in found]


def _take(document: Any, number: int, found: list[tuple[dict[str, Any], list[Record]]]) -> None:
    if not isinstance(document, dict) or "kind" not in document:
        raise HistoryError(f"line {number}: an object with a `kind` was expected")
    if document["kind"] == "history":
        if document.get("schema") != 1:
            raise HistoryError(
                f"line {number}: schema {document.get('schema')!r} is not known; this harness reads schema 1"
            )
        wrong = [name for name, kinds in _HEADER_TYPES.items() if not isinstance(document.get(name), kinds)]
        if wrong:
            raise HistoryError(
                f"line {number}: the header's {', '.join(wrong)} can not be what a run has written"
            )
        found.append((document, []))
        return
    if not found:
        raise HistoryError(f"line {number}: a record before any header; is this a whole history.jsonl?")
    try:
        record = _from_document(document)
        if not isinstance(record.at, int | float):
            raise TypeError(f"at is {record.at!r}")  # noqa: TRY301  # as for every other field
        found[-1][1].append(record)
    except (KeyError, TypeError, SampleError) as error:
        raise HistoryError(
            f"line {number}: a {document['kind']} record that can not be read: {error}"
        ) from None


def _build(header: dict[str, Any], records: list[Record]) -> History:
    values = {name: header.get(name) for name in _HEADER}
    values["variants"] = tuple(header.get("variants") or ())
    return History(records=tuple(records), **values)  # type: ignore[arg-type]  # checked by the header's schema number


def _to_document(record: Record) -> dict[str, Any]:
    if isinstance(record, Call):
        return {
            "kind": "call",
            "at": record.at,
            "client": record.client,
            **samples.to_document(record.sample),
        }
    return {"kind": _NAMES[type(record)], **asdict(record)}


def _from_document(document: dict[str, Any]) -> Record:
    values = {key: value for key, value in document.items() if key != "kind"}
    if document["kind"] == "call":
        return Call(values.pop("at"), values.pop("client"), samples.from_document(values))
    kind = _KINDS[document["kind"]]
    if kind is SliceSeen:
        values["endpoints"] = tuple(Endpoint(**endpoint) for endpoint in values["endpoints"])
    if kind is StepDone:
        values["pods"] = tuple(values["pods"])
    record: Record = kind(**values)
    return record


def _last_at(records: list[Record]) -> float:
    return records[-1].at if records else 0.0


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
