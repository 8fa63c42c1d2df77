"""The options of a pool, checked once. Pure.

Rule: equal options mean a pool can be shared, so they are hashable and compared as a whole; credentials,
clients, ping and hook count by identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from kube_grpc.errors import OptionError
from kube_grpc.hooks import Hook

MODES = ("poll", "watch")
POLICIES = ("random", "round_robin")

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
)


@dataclass(frozen=True, slots=True)
class Options:
    """See `Channel` for what each means."""

    mode: str = "watch"
    policy: str = "round_robin"
    ping: Callable[[Any], object] | None = None
    ping_interval_s: float = 1.0
    refresh_interval_s: float = 60.0
    drain_grace_s: float = 30.0
    credentials: grpc.ChannelCredentials | None = None
    options: tuple[tuple[str, Any], ...] = ()
    hook: Hook | None = None
    api_client: Any = None
    kubeconfig: str | None = None
    context: str | None = None

    def __post_init__(self) -> None:
        _check_choice("mode", self.mode, MODES)
        _check_choice("policy", self.policy, POLICIES)
        _check_seconds("ping_interval_s", self.ping_interval_s)
        _check_seconds("refresh_interval_s", self.refresh_interval_s)
        _check_seconds("drain_grace_s", self.drain_grace_s, may_be_zero=True)
        if self.api_client is not None and (self.kubeconfig is not None or self.context is not None):
            msg = (
                "option api_client: given together with kubeconfig or context\n"
                "  allowed: a client, or a kubeconfig and a context to make one from\n  do: leave one of them out"
            )
            raise OptionError(msg)

    def member_options(self, authority: str) -> tuple[tuple[str, Any], ...]:
        """Channel arguments for a connection to one pod of the Service that `authority` names."""
        merged = dict((*_MEMBER_DEFAULTS, ("grpc.default_authority", authority), *self.options))
        return tuple(merged.items())


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(f'"{item}"' for item in allowed)
        msg = f"option {name}: unknown value {value!r}\n  allowed: {choices}\n  do: give one, or leave it out"
        raise OptionError(msg)


def _check_seconds(name: str, value: float, *, may_be_zero: bool = False) -> None:
    if not (math.isfinite(value) and (value > 0 or (may_be_zero and value == 0))):
        least = "0 or more" if may_be_zero else "more than 0"
        msg = (
            f"option {name}: {value!r} is no usable time\n  allowed: seconds, {least}, finite\n  do: give one"
        )
        raise OptionError(msg)
