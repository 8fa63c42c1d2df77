"""The options of a pool, checked once. Pure.

Rule: equal options mean a pool can be shared, so they are hashable and compared as a whole; credentials,
clients, ping and hook count by identity.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from kube_grpc.ejection import Ejection
from kube_grpc.endpoints import Endpoint
from kube_grpc.errors import OptionError
from kube_grpc.hedges import Hedge
from kube_grpc.hooks import Hook
from kube_grpc.policies import POLICIES, Policy
from kube_grpc.retries import Retry

MODES = ("poll", "watch")

# What a connection to one pod needs where gRPC's defaults are meant for connections that share a process. The
# caller's own options come after these and win.
_MEMBER_DEFAULTS: tuple[tuple[str, Any], ...] = (
    (
        "grpc.use_local_subchannel_pool",
        1,
    ),  # Else a new channel to an address inherits the back-off of an old one.
    (
        "grpc.lb_policy_name",
        "round_robin",
    ),  # With one address: it reconnects by itself; pick_first waits for a call.
    ("grpc.enable_http_proxy", 0),  # A pod's address is not for a proxy of the environment.
    ("grpc.client_idle_timeout_ms", 2**31 - 1),  # Never: a member without calls stays connected.
    (
        "grpc.initial_reconnect_backoff_ms",
        250,
    ),  # A container that restarts is back in a second, not in up to 120.
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # How long one attempt to connect may take: 20 s by default.
    # A node that is gone sends no FIN. With a keepalive time set, gRPC has the kernel give up a connection whose data
    # is not acknowledged for the keepalive timeout (TCP_USER_TIMEOUT), instead of after a quarter of an hour. The
    # time itself is just longer than the 300 s at which servers begin to count pings as abuse.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)


@dataclass(frozen=True, slots=True)
class Options:
    """See `Channel` for what each means."""

    mode: str = "watch"
    policy: str | Policy = "round_robin"
    hash_key: str | None = None
    slow_start_s: float = 0.0
    ejection: Ejection | None = None
    retry: Retry | None = None
    hedge: Hedge | None = None
    health_service: str | None = None
    zone: str | None = None
    dns_fallback: bool = True
    dns_authority: str | None = None
    ping: Callable[[Any], object] | None = None
    ping_interval_s: float = 1.0
    refresh_interval_s: float = 60.0
    watch_timeout_s: float = 15.0
    drain_grace_s: float = 30.0
    credentials: grpc.ChannelCredentials | None = None
    options: tuple[tuple[str, Any], ...] = ()
    per_member: Callable[[Endpoint], Iterable[tuple[str, Any]]] | None = None
    hook: Hook | None = None
    api_client: Any = None
    kubeconfig: str | None = None
    context: str | None = None

    def __post_init__(self) -> None:
        _check_choice("mode", self.mode, MODES)
        _check_policy(self.policy, self.hash_key, self.slow_start_s)
        _check_seconds("ping_interval_s", self.ping_interval_s)
        _check_seconds("refresh_interval_s", self.refresh_interval_s)
        _check_seconds("watch_timeout_s", self.watch_timeout_s, least=1)
        _check_seconds("drain_grace_s", self.drain_grace_s, least=0)
        if self.api_client is not None and (self.kubeconfig is not None or self.context is not None):
            msg = (
                "option api_client: given together with kubeconfig or context\n"
                "  allowed: a client, or a kubeconfig and a context to make one from\n  do: leave one of them out"
            )
            raise OptionError(msg)

    def member_options(self, authority: str) -> tuple[tuple[str, Any], ...]:
        """Channel arguments for a connection to one pod of the Service that `authority` names."""
        given = list(_MEMBER_DEFAULTS)
        if self.health_service is not None:
            # gRPC's own client-side health checking: a member whose service is NOT_SERVING is not READY.
            config = json.dumps({"healthCheckConfig": {"serviceName": self.health_service}})
            given.append(("grpc.service_config", config))
        merged = dict((*given, ("grpc.default_authority", authority), *self.options))
        return tuple(merged.items())


def check_options(options: dict[str, Any]) -> Options:
    """What `connect` was given, checked; lists are made tuples in it. Raises OptionError."""
    if "options" in options:
        options["options"] = tuple(options["options"])
    try:
        return Options(**options)
    except TypeError as error:
        allowed = ", ".join(Options.__dataclass_fields__)
        msg = f"connect: {error}\n  allowed: {allowed}\n  do: leave out what is not listed"
        raise OptionError(msg) from error


def _check_policy(policy: str | Policy, hash_key: str | None, slow_start_s: float) -> None:
    if isinstance(policy, str):
        _check_choice("policy", policy, POLICIES)
    elif not callable(getattr(policy, "pick", None)):
        choices = ", ".join(f'"{item}"' for item in POLICIES)
        msg = (
            f"option policy: {policy!r} has no method pick\n"
            f"  allowed: {choices}, or an object with pick(members, metadata)\n  do: give one"
        )
        raise OptionError(msg)
    if (hash_key is not None) is not (policy == "consistent_hash"):
        msg = (
            f"option hash_key: {hash_key!r} with policy {policy!r}\n"
            '  allowed: a metadata key, with policy "consistent_hash" and only with it\n  do: give both or neither'
        )
        raise OptionError(msg)
    _check_seconds("slow_start_s", slow_start_s, least=0)
    if slow_start_s > 0 and policy == "consistent_hash":
        msg = (
            'option slow_start_s: does not go with policy "consistent_hash", where a key has one member\n'
            "  allowed: 0, or another policy\n  do: leave out one of them"
        )
        raise OptionError(msg)


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(f'"{item}"' for item in allowed)
        msg = f"option {name}: unknown value {value!r}\n  allowed: {choices}\n  do: give one, or leave it out"
        raise OptionError(msg)


def _check_seconds(name: str, value: float, *, least: int | None = None) -> None:
    if not (math.isfinite(value) and (value > 0 if least is None else value >= least)):
        allowed = "more than 0" if least is None else f"{least} or more"
        msg = f"option {name}: {value!r} is no usable time\n  allowed: seconds, {allowed}, finite\n  do: give one"
        raise OptionError(msg)
