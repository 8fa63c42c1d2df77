"""One way from a client to the pods = one variant = one function that opens a channel.

The rule it keeps: each variant does what its line of the table says and nothing to help it. DNS
re-resolution, reconnect back-off and connect time-outs are gRPC's own defaults, because what gRPC does with
them is what is measured. Two settings differ from the defaults, for every gRPC channel opened here: a
subchannel pool of its own (without it two channels of a process share connections and back-off, and are one
client), and no HTTP proxy from the environment (a proxy would be a seventh way).

| variant | target | channel |
|---|---|---|
| clusterip | the Service's name | one connection, `pick_first` |
| headless | the headless Service's name | `pick_first` |
| headless-rr | the headless Service's name | `round_robin` |
| ingress | the gateway's name | TLS, authority = the Ingress host |
| pool | the Service's name | kube_grpc, watching EndpointSlices, round robin |
| pool-aio | the Service's name | the same for asyncio: kube_grpc.aio |
| pool-random, pool-least-outstanding, pool-power-of-two | the Service's name | as pool, with that policy |
| pool-consistent-hash | the Service's name | as pool, each value of the metadata key `user` to one pod |
| pool-poll | the Service's name | kube_grpc as the original: ping each second, full refresh, random |
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import grpc
import grpc.aio

from demo_server.helloworld_pb2 import HelloRequest
from demo_server.helloworld_pb2_grpc import GreeterStub

Option = tuple[str, str | int]
USER_KEY = "user"
"""Metadata of every call (see `caller`); it means something to pool-consistent-hash alone."""

_URI = re.compile(r"(?:dns|ipv4|ipv6|unix|xds|vsock):")
_HONEST: tuple[Option, ...] = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
_ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})


class SettingsError(ValueError):
    """A variant lacks something it can not do without."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to and how. `target` is `name:port`, or for the gRPC variants any gRPC target URI.

    `authority` and `ca_certificate` (PEM) are for `ingress`; the intervals for `pool-poll`; `dns_authority`,
    `ip:port` of a DNS server, for every variant that resolves a name, the pools where the API tells nothing.
    """

    target: str
    dns_authority: str | None = None
    authority: str | None = None
    ca_certificate: bytes | None = None
    ping_interval_s: float = 1.0
    refresh_interval_s: float = 60.0


def resolvable(target: str, dns_authority: str | None) -> str:
    """The gRPC target of a name: `dns:///name:port`, or `dns://ip:port/name:port`. A URI stays as it is."""
    if _URI.match(target):
        return target
    return f"dns://{'' if dns_authority is None else dns_authority}/{target}"


def open_channel(variant: str, destination: Destination) -> grpc.Channel:
    """The channel of a variant. Raises SettingsError for an unknown variant or a missing setting."""
    opener = _SYNC.get(variant)
    if opener is None:
        raise _unknown(variant)
    return opener(destination)


def open_aio_channel(variant: str, destination: Destination) -> grpc.aio.Channel:
    """The channel of a variant for asyncio, in whose loop it is called. Raises as `open_channel`."""
    opener = ASYNCIO.get(variant)
    if opener is None:
        raise _unknown(variant)
    return opener(destination)


def _unknown(variant: str) -> SettingsError:
    return SettingsError(f'unknown variant "{variant}"; known variants: {", ".join(VARIANTS)}')


def _open_pick_first(destination: Destination) -> grpc.Channel:
    target = resolvable(destination.target, destination.dns_authority)
    return grpc.insecure_channel(target, options=_HONEST)


def _open_round_robin(destination: Destination) -> grpc.Channel:
    target = resolvable(destination.target, destination.dns_authority)
    return grpc.insecure_channel(target, options=(*_HONEST, ("grpc.service_config", _ROUND_ROBIN)))


def _open_ingress(destination: Destination) -> grpc.Channel:
    if destination.ca_certificate is None:
        raise SettingsError(
            "variant ingress needs the certificate authority of the gateway: set INGRESS_CA to the PEM text "
            "(Secret greeter-tls, key ca.crt) or give --ca-file FILE"
        )
    if destination.authority is None:
        raise SettingsError("variant ingress needs the Ingress host: give --authority HOST")
    return grpc.secure_channel(
        resolvable(destination.target, destination.dns_authority),
        grpc.ssl_channel_credentials(root_certificates=destination.ca_certificate),
        # The gateway's certificate and its routes are for the Ingress host, not for the name of its Service.
        options=(*_HONEST, ("grpc.default_authority", destination.authority)),
    )


def _open_pool(destination: Destination, **options: Any) -> grpc.Channel:
    import kube_grpc  # here, so that the other variants neither need it nor pay for the Kubernetes client

    try:
        return kube_grpc.Channel(destination.target, dns_authority=destination.dns_authority, **options)
    except kube_grpc.KubeGrpcError as error:
        raise SettingsError(str(error)) from error


def _open_aio_pool(destination: Destination) -> grpc.aio.Channel:
    import kube_grpc.aio  # as above

    try:
        return kube_grpc.aio.Channel(destination.target, dns_authority=destination.dns_authority)
    except kube_grpc.KubeGrpcError as error:
        raise SettingsError(str(error)) from error


def _open_polling_pool(destination: Destination) -> grpc.Channel:
    return _open_pool(
        destination,
        mode="poll",
        policy="random",
        ping=_ping,
        ping_interval_s=destination.ping_interval_s,
        refresh_interval_s=destination.refresh_interval_s,
    )


def _ping(member: grpc.Channel) -> None:
    # As the original's users write it: a cheap call of the service itself. It has the ping interval as its deadline.
    GreeterStub(member).SayHello(HelloRequest(name="ping"))


_SYNC: Mapping[str, Callable[[Destination], grpc.Channel]] = MappingProxyType(
    {
        "clusterip": _open_pick_first,
        "headless": _open_pick_first,
        "headless-rr": _open_round_robin,
        "ingress": _open_ingress,
        "pool": _open_pool,
        "pool-poll": _open_polling_pool,
        "pool-random": partial(_open_pool, policy="random"),
        "pool-least-outstanding": partial(_open_pool, policy="least_outstanding"),
        "pool-power-of-two": partial(_open_pool, policy="power_of_two"),
        "pool-consistent-hash": partial(_open_pool, policy="consistent_hash", hash_key=USER_KEY),
    }
)
ASYNCIO: Mapping[str, Callable[[Destination], grpc.aio.Channel]] = MappingProxyType(
    {"pool-aio": _open_aio_pool}
)
VARIANTS = (*_SYNC, *ASYNCIO)
