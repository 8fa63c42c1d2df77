"""One request on its way through the server, and the protocols of those who serve it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from simcluster.apiserver.targets import Target
from simcluster.authorizer import User
from simcluster.faults.requests import Facts
from simcluster.registry import Admit, admit_all
from simcluster.schema import Protobuf, Resource

_MOST_RUNES, _MOST_RUNES_OF_ONE = 4096, 256


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was understood and allowed; what is added to `warnings` is told in the answer's headers.

    `facts` are what faults go by; None for a request that they leave alone. `admit` is asked before what it writes is
    stored.
    """

    request: web.BaseRequest
    user: User
    target: Target
    kind: Resource
    protobuf: Protobuf
    warnings: list[str] = field(default_factory=list)
    facts: Facts | None = None
    admit: Admit = admit_all

    @property
    def query(self) -> Mapping[str, str]:
        """The query of the URL; of a parameter that comes twice, the first."""
        return self.request.query

    @property
    def accept(self) -> str | None:
        """Which forms of answer the client takes."""
        return self.request.headers.get("Accept")

    def warning_headers(self) -> dict[str, str]:
        """Return the header that carries the warnings."""
        quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in select_told(self.warnings)]
        return {"Warning": ", ".join(f'299 - "{text}"' for text in quoted)} if quoted else {}


def select_told(warnings: list[str]) -> list[str]:
    """Return what of warnings is told: each once, and each short if all together are long.

    As on a real server, what has control characters is not told at all.
    """
    # Source: k8s.io/apiserver pkg/endpoints/filters/warning.go.
    shown = [text for text in dict.fromkeys(warnings) if text.isprintable()]
    if sum(map(len, shown)) <= _MOST_RUNES:
        return shown
    told: list[str] = []
    for text in shown:
        if sum(map(len, told)) >= _MOST_RUNES:
            break
        told.append(text[:_MOST_RUNES_OF_ONE])
    return told


class Execution(Protocol):
    """A command that runs in a container."""

    async def write_stdin(self, data: bytes) -> None:
        """Give it input."""
        ...

    async def close_stdin(self) -> None:
        """End its input."""
        ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what it writes: (1 for stdout or 2 for stderr, data), until it has ended."""
        ...

    def resize(self, width: int, height: int) -> None:
        """Tell its terminal, if it has one, how large it is, in characters."""
        ...

    async def wait(self) -> int:
        """Return its exit code, once it has ended."""
        ...

    async def kill(self) -> None:
        """End it, or let go of it if it is only listened to."""
        ...


class Kubelet(Protocol):
    """The part of the kubelet that the API server asks."""

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool,
        previous: bool,
        since_s: int | None,
        since_at: float | None,
        tail_lines: int | None,
        timestamps: bool,
        limit_bytes: int | None,
    ) -> AsyncIterator[bytes]:
        """Return the pieces of a container's log; StatusError says why there is none."""
        ...

    async def find_running(self, verb: str, namespace: str, pod: str, container: str) -> object:
        """PlainError, in the words for `exec` or `attach`, if there is no such container now."""
        ...

    async def execute(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> Execution:
        """Start a command in a container. PlainError: there is no such container now; StatusError: it can not be
        started.
        """
        ...

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> Execution:
        """Listen and talk to a running container; PlainError if it does not run. It has a terminal or has not,
        whatever a client asks for.
        """
        ...

    async def connect(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port of a pod; OSError if nobody listens there."""
        ...

    async def attend(self, node: str) -> bool:
        """Wait until a node answers; whether it is one that can."""
        ...
