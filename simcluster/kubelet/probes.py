"""One probe of one container: gRPC, HTTP, TCP or a command; and the hooks that are made of the same actions.

The rules it keeps (pkg/probe): HTTP is well from 200 up to and not including 400, TLS is not verified,
connections are not kept; TCP is well when it connects; a command when it exits with 0; gRPC when it says
SERVING. A probe that takes longer than its time-out has failed. It counts nothing: see `prober`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
# (command, time-out in seconds) → exit code and output; raises TimeoutError, and kills the command, when it
# is late.
Execute = Callable[[list[str], float], Awaitable[tuple[int, str]]]
_SHOWN_BYTES = 10 * 1024
_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the container is well, and what was found if not."""

    is_success: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a container's probes go. `version` is the kubelet's, `1.36`, for the user agent; `connect_delay_s` passes
    before a gRPC probe tries its connection a second time.
    """

    pod_ip: str
    container: Object
    execute: Execute
    version: str
    connect_delay_s: float = 1.0

    def port(self, port: int | str) -> int:
        """A port by number or by the name that the container gives it; ValueError if it gives none."""
        if isinstance(port, int) or port.isdecimal():
            return int(port)
        for each in self.container.get("ports") or ():
            if each.get("name") == port:
                return int(each["containerPort"])
        raise ValueError(f"couldn't find port: {port} in container {self.container['name']}")


async def run(action: Object, target: Target, timeout_s: float) -> Outcome:
    """Do what the probe (or hook) says, once, and tell what came of it. Never raises for a target that is
    unwell.
    """
    try:
        if "exec" in action:
            return await _run_command(action["exec"].get("command") or [], target, timeout_s)
        if "grpc" in action:
            return await _check_grpc(action["grpc"], target, timeout_s)
        async with asyncio.timeout(timeout_s):
            if "httpGet" in action:
                return await _get(action["httpGet"], target)
            if "tcpSocket" in action:
                return await _connect(action["tcpSocket"], target)
            if "sleep" in action:
                return await _sleep(action["sleep"]["seconds"])
    except TimeoutError:
        text = f"{_describe(action)}: context deadline exceeded after {timeout_s:g} s"
        return Outcome(is_success=False, message=text)
    except OSError as failure:
        return Outcome(is_success=False, message=str(failure))
    except ValueError as failure:
        return Outcome(is_success=False, message=f"{_describe(action)}: {failure}")
    return Outcome(is_success=False, message="missing probe handler")


def _describe(action: Object) -> str:
    names = {
        "grpc": "gRPC health check",
        "httpGet": "HTTP GET",
        "tcpSocket": "TCP connect",
        "exec": "command",
    }
    return next((text for key, text in names.items() if key in action), "hook")


async def _sleep(seconds: float) -> Outcome:
    await asyncio.sleep(seconds)
    return Outcome(is_success=True)


async def _check_grpc(check: Object, target: Target, timeout_s: float) -> Outcome:
    service, where = check.get("service"), f"{target.pod_ip}:{check['port']}"
    name = "" if service is None else service
    # Not at the top: a cluster answers before it needs HTTP/2.
    from simcluster.kubelet import health

    connection = None
    try:
        async with asyncio.timeout(timeout_s):
            connection = await health.connect(target.pod_ip, check["port"], target.connect_delay_s)
            await health.check(connection, where, name, f"kube-probe/{target.version}")
    except health.Unhealthy as failure:
        return Outcome(is_success=False, message=str(failure))
    except TimeoutError:
        if connection is not None:
            raise
        text = (
            f'timeout: failed to connect service "{where}" within {timeout_s:g}s: context deadline exceeded'
        )
        return Outcome(is_success=False, message=text)
    return Outcome(is_success=True)


async def _run_command(command: list[str], target: Target, timeout_s: float) -> Outcome:
    try:
        status, output = await target.execute(command, timeout_s)
    except TimeoutError:
        return Outcome(
            is_success=False,
            message=f'command timed out: "{" ".join(command)}" timed out after {timeout_s:g}s',
        )
    if status == 0:
        return Outcome(is_success=True)
    shown = output[-_SHOWN_BYTES:]
    return Outcome(is_success=False, message=shown)


async def _connect(check: Object, target: Target) -> Outcome:
    host = check.get("host")
    _, writer = await _dial(host if host else target.pod_ip, target.port(check["port"]))
    writer.close()
    return Outcome(is_success=True)


async def _dial(host: str, port: int, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect; a refusal is worded as Go words it."""
    try:
        return await asyncio.open_connection(host, port, **options)
    except ConnectionRefusedError as error:
        raise OSError(f"dial tcp {host}:{port}: connect: connection refused") from error


async def _get(check: Object, target: Target) -> Outcome:
    """One GET by hand: a client library would bring pools, redirects and retries, none of which a probe
    has.
    """
    host = check.get("host")
    address, port = host if host else target.pod_ip, target.port(check["port"])
    tls = _unverified() if check.get("scheme", "HTTP").upper() == "HTTPS" else None
    path = check.get("path")
    path = "/" if not path else path if path.startswith("/") else f"/{path}"
    sent = {"Host": f"{address}:{port}", "User-Agent": f"kube-probe/{target.version}", "Accept": "*/*"}
    sent |= {each["name"]: each["value"] for each in check.get("httpHeaders") or ()}
    sent["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if "\n" not in name + value)
    try:
        reader, writer = await _dial(address, port, ssl=tls, limit=_HEADER_BYTES)
    except OSError as failure:
        scheme = "http" if tls is None else "https"
        raise OSError(f'Get "{scheme}://{address}:{port}{path}": {failure}') from failure
    try:
        writer.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        code = _read_code(await reader.readline())
    finally:
        writer.close()
    if 200 <= code < 400:
        return Outcome(is_success=True)
    return Outcome(is_success=False, message=f"HTTP probe failed with statuscode: {code}")


def _read_code(line: bytes) -> int:
    parts = line.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        raise ValueError(f"malformed HTTP response {line[:80].decode(errors='replace')!r}")
    return int(parts[1])


def _unverified() -> ssl.SSLContext:
    """A context of no default: reading this machine's authorities takes longer than the probe."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
