"""Logs of containers: what a request may ask for, and the stream that answers it.

The rule it keeps: what makes no sense is refused before anything is looked up, in a real server's words; the answer
begins when the kubelet has something or nothing to say, so that until then a refusal can still be a Status.

Sources: kubernetes pkg/apis/core/validation (ValidatePodLogOptions), pkg/registry/core/pod/strategy.go (LogLocation).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from simcluster.apiserver.queries import read_flag, read_integer
from simcluster.errors import BadRequest, Cause, Invalid, forbidden, invalid
from simcluster.registry import parse_time


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which part of a log is wanted, and how. `since_at` is in seconds since the epoch."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_s: int | None = None
    since_at: float | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None


def read_options(query: Mapping[str, str], pod: str) -> LogOptions:
    """Return what a query asks for; BadRequest or Invalid if that makes no sense."""
    since = query.get("sinceTime")
    options = LogOptions(
        read_flag(query, "follow"),
        read_flag(query, "previous"),
        read_flag(query, "timestamps"),
        read_integer(query, "sinceSeconds"),
        _read_time(since) if since else None,
        read_integer(query, "tailLines"),
        read_integer(query, "limitBytes"),
    )
    faults = _find_faults(options, has_stream="stream" in query)
    if faults:
        raise Invalid("PodLogOptions", pod, faults)
    return options


def _read_time(said: str) -> float:
    try:
        return parse_time(said)
    except ValueError as error:
        text = f'parsing time "{said}" as "2006-01-02T15:04:05Z07:00": cannot parse "{said}" as "2006"'
        raise BadRequest(text) from error


def _find_faults(options: LogOptions, *, has_stream: bool) -> list[Cause]:
    faults = []
    if options.tail_lines is not None and options.tail_lines < 0:
        faults.append(invalid("tailLines", options.tail_lines, "must be greater than or equal to 0"))
    if options.limit_bytes is not None and options.limit_bytes < 1:
        faults.append(invalid("limitBytes", options.limit_bytes, "must be greater than 0"))
    if options.since_s is not None and options.since_at is not None:
        faults.append(forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif options.since_s is not None and options.since_s < 1:
        faults.append(invalid("sinceSeconds", options.since_s, "must be greater than 0"))
    if has_stream:
        # One stream alone needs the feature gate PodLogsQuerySplitStreams, which is off.
        faults.append(forbidden("stream", "may not be specified"))
    return faults


async def stream_log(
    request: web.BaseRequest, pieces: AsyncIterator[bytes], *, follow: bool
) -> web.StreamResponse:
    """Answer with a log, piece by piece."""
    first = None if follow else await anext(pieces, None)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    if first is not None:
        await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response
