"""The cluster's DNS server, over UDP and TCP on one port.

The rules it keeps, as CoreDNS does under kubeadm's Corefile: answers are authoritative, of one TTL, and
shuffled (plugin loadbalance); names of the cluster are not cached by the server; an answer that a datagram
can not hold comes truncated, to be asked for again over TCP. It knows nothing outside the cluster and refuses
such questions (a real one would forward them).

What a name stands for is decided in `zone`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
from bisect import bisect_right
from collections.abc import Callable
from typing import cast

import dnslib

from simcluster.controllers.loop import Context
from simcluster.faults.kinds import Dns
from simcluster.network.observed import Observed
from simcluster.network.zone import ORIGIN, Answer, Catalogue, Record, answer
from simcluster.profile import Profile

_log = logging.getLogger(__name__)
_DATAGRAM_BYTES = 512
_LARGEST_DATAGRAM_BYTES = 4096
_IDLE_S = 10.0
_TRIES = 20
_CODES = {"servfail": dnslib.RCODE.SERVFAIL, "nxdomain": dnslib.RCODE.NXDOMAIN}
_RDATA = {"A": dnslib.A, "CNAME": dnslib.CNAME, "PTR": dnslib.PTR}
_WEIGHT = 100  # of SRV records, as the plugin writes it for each of one priority


class DnsServer:
    """Serves the names of what is observed from `start` to `stop`."""

    def __init__(self, observed: Observed, profile: Profile, rng: random.Random) -> None:
        self._catalogue = observed
        self._profile = profile
        self._rng = rng
        self._disturbances: list[tuple[Dns, Catalogue]] = []
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    @classmethod
    def follow(cls, context: Context) -> DnsServer:
        """A server of the names of this cluster, late by as much as its profile says."""
        observed = Observed(context.informers, context.call_later, context.profile.dns_sync_s)
        return cls(observed, context.profile, random.Random(context.rng.random()))  # noqa: S311 -- a shuffle

    async def start(self, address: str, port: int = 0) -> int:
        """Listen at `address` and return the port, which for 0 is one that is free for both UDP and TCP."""
        loop = asyncio.get_running_loop()
        tcp, udp = _bind_pair(address, port)
        self._tcp = await asyncio.start_server(self._serve_tcp, sock=tcp)
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        found: int = udp.getsockname()[1]
        return found

    def disturb(self, fault: Dns) -> Callable[[], None]:
        """Have answers fail as the fault says, or be those of this moment; returns what ends that."""
        disturbance = (fault, self._catalogue.snapshot())
        self._disturbances.append(disturbance)

        def remove() -> None:
            self._disturbances[:] = [each for each in self._disturbances if each is not disturbance]

        return remove

    async def stop(self) -> None:
        """Answer no more."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    def respond(self, question: bytes, *, limit_bytes: int | None) -> bytes | None:
        """The answer to one message; None if it is none that deserves one, nothing (`b""`) if a fault keeps it.

        `limit_bytes` is for datagrams.
        """
        try:
            request = dnslib.DNSRecord.parse(question)
        except dnslib.DNSError:
            return None
        if request.header.qr or len(request.questions) != 1:
            return None
        reply = request.reply(ra=0, aa=1)
        fault, catalogue = self._find_disturbance(str(request.q.qname))
        if fault == "timeout":
            return b""
        if fault in _CODES:
            reply.header.rcode = _CODES[fault]
        else:
            self._fill(reply, request, catalogue)
        room = _room_of(request, limit_bytes)
        if any(record.rtype == dnslib.QTYPE.OPT for record in request.ar):
            reply.add_ar(dnslib.EDNS0(udp_len=_LARGEST_DATAGRAM_BYTES))
        packed: bytes = reply.pack()
        if room is not None and len(packed) > room:
            packed = _truncate(reply, room)
        return packed

    def _find_disturbance(self, name: str) -> tuple[str, Catalogue]:
        """How a question is to be answered, and from which catalogue."""
        asked = name.rstrip(".").lower()
        for fault, stale in reversed(self._disturbances):
            whole = [f"{each}.svc.{'.'.join(ORIGIN)}" for each in fault.services] or [".".join(ORIGIN)]
            if any(asked == each or asked.endswith(f".{each}") for each in whole):
                return fault.how, stale
        return "", self._catalogue

    def _fill(self, reply: dnslib.DNSRecord, request: dnslib.DNSRecord, catalogue: Catalogue) -> None:
        asked = request.q.qname
        name = str(asked).rstrip(".").lower()
        kind = dnslib.QTYPE.get(request.q.qtype)
        found = answer(name, kind, catalogue)
        if found is None:
            reply.header.aa = 0
            reply.header.rcode = dnslib.RCODE.REFUSED
            return
        if not found.exists:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        if not found.records:
            reply.add_auth(self._authority())
        self._add(reply, asked, found)

    def _add(self, reply: dnslib.DNSRecord, asked: dnslib.DNSLabel, found: Answer) -> None:
        records, additional = list(found.records), list(found.additional)
        self._rng.shuffle(records)
        self._rng.shuffle(additional)
        ttl = int(self._profile.dns_ttl_s)
        for record in records:
            # The name as it was asked, letter case and all: some resolvers use it against forged answers.
            shares = max(1, _WEIGHT // len(records))
            reply.add_answer(_as_rr(record, asked, ttl, shares))
        for record in additional:
            reply.add_ar(_as_rr(record, record.name, ttl, 0))

    def _authority(self) -> dnslib.RR:
        origin = ".".join(ORIGIN)
        ttl = int(self._profile.dns_negative_ttl_s)
        # The plugin's serial is the time of its last change; nobody transfers this zone.
        times = (1, 7200, 1800, 86400, ttl)
        soa = dnslib.SOA(f"ns.dns.{origin}", f"hostmaster.{origin}", times)
        return dnslib.RR(origin, dnslib.QTYPE.SOA, rdata=soa, ttl=ttl)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(_IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2))
                    question = await reader.readexactly(length)
                packed = self.respond(question, limit_bytes=None)
                if packed is None:
                    return
                if not packed:
                    continue
                writer.write(len(packed).to_bytes(2) + packed)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return  # the client has gone, or asks nothing any more
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Neither asyncio's nor uvloop's transport is an instance of the class that documents it.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        packed = self._server.respond(data, limit_bytes=_DATAGRAM_BYTES)
        if packed and self._transport is not None:
            self._transport.sendto(packed, addr)


def _room_of(request: dnslib.DNSRecord, limit_bytes: int | None) -> int | None:
    """How long the reply may be: what the client says that it takes (EDNS), within bounds."""
    if limit_bytes is None:
        return None
    offered: list[int] = [record.rclass for record in request.ar if record.rtype == dnslib.QTYPE.OPT]
    return min(_LARGEST_DATAGRAM_BYTES, max([limit_bytes, *offered]))


def _truncate(reply: dnslib.DNSRecord, room: int) -> bytes:
    """As many answers as fit, and the question, as CoreDNS has it.

    c-ares takes a reply that does not repeat its question for a broken one, and does not ask again over TCP.
    """
    answers = list(reply.rr)
    reply.header.tc = 1
    reply.ar = [record for record in reply.ar if record.rtype == dnslib.QTYPE.OPT]

    def pack(count: int) -> bytes:
        reply.rr = answers[:count]
        packed: bytes = reply.pack()
        return packed

    fitting = bisect_right(range(1, len(answers) + 1), room, key=lambda count: len(pack(count)))
    return pack(fitting)


def _as_rr(record: Record, name: object, ttl: int, share: int) -> dnslib.RR:
    if record.type == "SRV":
        rdata = dnslib.SRV(priority=0, weight=share, port=record.port, target=record.value)
    elif record.type == "TXT":
        rdata = dnslib.TXT(record.value)
    else:
        rdata = _RDATA[record.type](record.value)
    return dnslib.RR(name, getattr(dnslib.QTYPE, record.type), rdata=rdata, ttl=ttl)


def _bind_pair(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket on the same port, which for 0 the kernel chooses."""
    for _ in range(1 if port else _TRIES):
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            tcp.bind((address, port))
            udp.bind(tcp.getsockname())
        except OSError as error:
            tcp.close()
            udp.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        for each in (tcp, udp):
            each.settimeout(0)
        return tcp, udp
    raise OSError(
        errno.EADDRINUSE,
        f"no port of {address} is free for both UDP and TCP (asked for {port}, {_TRIES} tries)",
    )
