"""Links, addresses and routes of network namespaces, by rtnetlink messages (rtnetlink(7)).

The rules it keeps: all messages of a call go out as one, and the first that the kernel refuses is an OSError
which names it; a socket acts on the namespace in which it was opened, wherever its process is later. It knows
IPv4 and the few messages that the namespace network needs.

pyroute2 is not used: its synchronous calls can not be made beneath a running event loop, and the time inside
a foreign namespace must have no await in it.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_NEWLINK, _NEWADDR, _NEWROUTE, _DELROUTE = 16, 20, 24, 25
_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400
_ERROR = 2
_UP = 1
_LINK_NAME, _LINK_INFO, _LINK_NAMESPACE = 3, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_ADDRESS, _LOCAL = 1, 2
_DESTINATION, _OUT_LINK, _GATEWAY, _PREFERRED_SOURCE = 1, 4, 5, 7
_TABLE_MAIN, _PROTOCOL_STATIC, _TYPE_UNICAST = 254, 4, 1
_SCOPE_GLOBAL, _SCOPE_LINK = 0, 253
LOOPBACK_LINK = 1


@dataclass(frozen=True, slots=True)
class Message:
    """One request; `what` is for people."""

    kind: int
    flags: int
    body: bytes
    what: str


def _attribute(number: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, number) + value + b"\0" * (-length % 4)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def _link(index: int, flags: int = _UP) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def raise_link(index: int) -> Message:
    """Take a link up."""
    return Message(_NEWLINK, 0, _link(index), f"link {index} up")


def add_bridge(index: int, name: str) -> Message:
    """A bridge without ports, which leads nowhere: what a route needs that is there for its rules alone."""
    info = _attribute(_LINK_INFO, _attribute(_INFO_KIND, _text("bridge")))
    return Message(
        _NEWLINK, _CREATE | _EXCLUSIVE, _link(index) + _attribute(_LINK_NAME, _text(name)) + info,
        f"bridge {name}",
    )  # fmt: skip


def add_pair(index: int, name: str, *, peer_index: int, peer_name: str, namespace: int) -> Message:
    """A pair of links, the peer in the namespace of that descriptor, where it has to be raised."""
    peer = (
        _link(peer_index, 0)
        + _attribute(_LINK_NAME, _text(peer_name))
        + _attribute(_LINK_NAMESPACE, struct.pack("=I", namespace))
    )
    data = _attribute(_INFO_DATA, _attribute(_VETH_PEER, peer))
    info = _attribute(_LINK_INFO, _attribute(_INFO_KIND, _text("veth")) + data)
    return Message(
        _NEWLINK, _CREATE | _EXCLUSIVE, _link(index) + _attribute(_LINK_NAME, _text(name)) + info,
        f"veth pair {name}",
    )  # fmt: skip


def add_address(index: int, address: str) -> Message:
    """An address of its own, without a subnet, for a link."""
    packed = socket.inet_aton(address)
    head = struct.pack("=BBBBI", socket.AF_INET, 32, 0, _SCOPE_GLOBAL, index)
    body = head + _attribute(_LOCAL, packed) + _attribute(_ADDRESS, packed)
    return Message(_NEWADDR, _CREATE | _EXCLUSIVE, body, f"address {address}")


def _route(to: str, index: int, gateway: str | None, source: str | None) -> bytes:
    address, _, length = to.partition("/")
    scope = _SCOPE_LINK if gateway is None else _SCOPE_GLOBAL
    head = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, int(length), 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, scope, _TYPE_UNICAST, 0
    )  # fmt: skip
    body = head + _attribute(_OUT_LINK, struct.pack("=I", index))
    if int(length) > 0:
        body += _attribute(_DESTINATION, socket.inet_aton(address))
    if gateway is not None:
        body += _attribute(_GATEWAY, socket.inet_aton(gateway))
    if source is not None:
        body += _attribute(_PREFERRED_SOURCE, socket.inet_aton(source))
    return body


def add_route(to: str, index: int, *, gateway: str | None = None, source: str | None = None) -> Message:
    """A route to `address/length` over a link; `source` is what this namespace's own packets come from."""
    return Message(_NEWROUTE, _CREATE | _EXCLUSIVE, _route(to, index, gateway, source), f"route to {to}")


def remove_route(to: str, index: int) -> Message:
    """Take such a route away."""
    return Message(_DELROUTE, 0, _route(to, index, None, None), f"no route to {to}")


class Netlink:
    """A socket to the kernel about the network namespace that the process is in now."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))

    def ask(self, messages: Sequence[Message]) -> None:
        """Have all of them done, in order; OSError names the first that was refused."""
        packed = b"".join(
            struct.pack("=IHHII", 16 + len(each.body), each.kind, each.flags | _REQUEST | _ACK, number, 0)
            + each.body
            for number, each in enumerate(messages)
        )
        self._socket.send(packed)
        waiting = len(messages)
        refused: OSError | None = None
        while waiting:
            for number, code in _read_acks(self._socket.recv(65536)):
                waiting -= 1
                if code and refused is None:
                    refused = OSError(code, f"{messages[number].what}: {os.strerror(code)}")
        if refused is not None:
            raise refused

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()


def _read_acks(data: bytes) -> list[tuple[int, int]]:
    """(number of the message, error number or 0) of each answer."""
    found, offset = [], 0
    while offset + 16 <= len(data):
        length, kind, _, number, _ = struct.unpack_from("=IHHII", data, offset)
        if kind == _ERROR:
            (code,) = struct.unpack_from("=i", data, offset + 16)
            found.append((number, -code))
        offset += (length + 3) & ~3
    return found
