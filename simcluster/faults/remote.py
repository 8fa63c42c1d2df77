"""Faults of a cluster, for a program that owns it: asked for over the cluster's admin interface.

The rules it keeps: a fault ends with the `with` block, when it is undone, when its time is over, or when this process
ends, whichever comes first. It knows the interface, not the simulation, so it costs its user nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

OWNER_KUBECONFIG = "owner.kubeconfig"
_SOCKET = "admin.sock"
_TIMEOUT_S = 30.0


class FaultRefused(Exception):  # noqa: N818 -- named for what happened
    """A fault could not begin; the text says why, and what could be."""


class _Connection(http.client.HTTPConnection):
    """HTTP over the socket in a cluster's folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__("cluster", timeout=_TIMEOUT_S)
        self._folder = folder

    def connect(self) -> None:
        """Reach the socket through its folder: a path may be longer than the kernel takes."""
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(_TIMEOUT_S)
            self.sock.connect(f"/proc/self/fd/{folder}/{_SOCKET}")
        finally:
            os.close(folder)


class Fault:
    """A fault that was begun; a context manager that undoes it."""

    def __init__(self, faults: Faults, number: str) -> None:
        self._faults = faults
        self.id = number

    def undo(self) -> None:
        """End it; does nothing if it has ended."""
        self._faults.undo(self.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()


class Faults:
    """The faults of one cluster, by its folder. All that is begun through one object ends with it, at the latest.

    `for_s` (seconds) ends a fault by itself. `scope` of the faults of requests and watches is any of `verbs`,
    `resources` (`plural[.group]`), `namespaces` and `users`, each a list; what is not given is not looked at.
    """

    def __init__(self, folder: Path) -> None:
        self._connection = _Connection(folder)
        self._lock = threading.Lock()

    def api_away(self, for_s: float | None = None, *, how: Literal["refuse", "cut"] = "refuse") -> Fault:
        """Refuse all connections to the API, or cut them as soon as they are made."""
        return self.begin("api_away", for_s, how=how)

    def api_latency(
        self, delay_s: float, for_s: float | None = None, *, jitter_s: float = 0.0, **scope: list[str]
    ) -> Fault:
        """Answer requests later, by `delay_s` and up to `jitter_s` more."""
        return self.begin("api_latency", for_s, delay_s=delay_s, jitter_s=jitter_s, **scope)

    def api_refuse(
        self,
        for_s: float | None = None,
        *,
        code: Literal[429, 500, 503] = 429,
        retry_after_s: int = 1,
        share: float = 1.0,
        **scope: list[str],
    ) -> Fault:
        """Refuse requests, or a share of them."""
        given = {"code": code, "retry_after_s": retry_after_s, "share": share}
        return self.begin("api_refuse", for_s, **given, **scope)

    def watch_cut(self, how: Literal["end", "reset", "expire"] = "end", **scope: list[str]) -> None:
        """End the open watches: as a server does, by a broken connection, or with a 410."""
        self.begin("watch_cut", None, how=how, **scope)

    def watch_stall(self, for_s: float | None = None, *, new: bool = False, **scope: list[str]) -> Fault:
        """Leave the open watches (`new`: also those that begin meanwhile) half-open: no byte, no end."""
        return self.begin("watch_stall", for_s, new=new, **scope)

    def events_repeat(self, times: int = 2, for_s: float | None = None, **scope: list[str]) -> Fault:
        """Send each event of a watch several times."""
        return self.begin("events_repeat", for_s, times=times, **scope)

    def events_late(self, delay_s: float, for_s: float | None = None, **scope: list[str]) -> Fault:
        """Send the events of watches late."""
        return self.begin("events_late", for_s, delay_s=delay_s, **scope)

    def compact(self) -> None:
        """Forget the history up to now."""
        self.begin("compact")

    def reshuffle_slices(self, namespace: str, service: str, *, size: int = 1) -> None:
        """Pack a Service's EndpointSlices anew, under other names."""
        self.begin("reshuffle_slices", namespace=namespace, service=service, size=size)

    def freeze_node(self, node: str, for_s: float | None = None) -> Fault:
        """Have a node stand still."""
        return self.begin("freeze_node", for_s, node=node)

    def freeze_pod(self, namespace: str, pod: str, for_s: float | None = None) -> Fault:
        """Have a pod's processes stand still."""
        return self.begin("freeze_pod", for_s, namespace=namespace, pod=pod)

    def dns(
        self,
        how: Literal["stale", "servfail", "nxdomain", "timeout"] = "stale",
        for_s: float | None = None,
        *,
        services: tuple[str, ...] = (),
    ) -> Fault:
        """Have names answered as they are now, with a failure, or not at all; `services` are `name.namespace`."""
        return self.begin("dns", for_s, how=how, services=services)

    def termination_order(
        self, first: Literal["endpoint", "sigterm"], for_s: float | None = None, *, by_s: float = 0.1
    ) -> Fault:
        """Have one side of each pod's termination come first."""
        return self.begin("termination_order", for_s, first=first, by_s=by_s)

    def begin(self, kind: str, for_s: float | None = None, **fields: Any) -> Fault:
        """Begin a fault of any kind; FaultRefused if it can not be."""
        lasting = {} if for_s is None else {"for_s": for_s}
        return Fault(self, self._ask("POST", "/faults", {"kind": kind, **lasting, **fields})["id"])

    def list(self) -> list[dict[str, Any]]:
        """The faults that hold now, whoever began them."""
        found: list[dict[str, Any]] = self._ask("GET", "/faults")["faults"]
        return found

    def undo(self, number: str) -> bool:
        """End a fault by its id; False if it has ended already."""
        return "error" not in self._ask("DELETE", f"/faults/{number}", is_strict=False)

    def clear(self) -> None:
        """End all faults, whoever began them."""
        self._ask("DELETE", "/faults")

    def close(self) -> None:
        """End all that was begun here."""
        with self._lock:
            self._connection.close()

    def _ask(self, method: str, path: str, body: Any = None, *, is_strict: bool = True) -> dict[str, Any]:
        with self._lock:
            self._connection.request(method, path, None if body is None else json.dumps(body))
            answer = self._connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        if is_strict and answer.status >= 400:
            raise FaultRefused(found["error"])
        return found
