"""Options: what is refused and how, and what wins."""

import math
from typing import Any

import pytest

from kube_grpc.errors import OptionError
from kube_grpc.options import Options


@pytest.mark.parametrize(
    ("options", "what", "allowed"),
    [
        ({"mode": "push"}, "option mode: unknown value 'push'", '  allowed: "poll", "watch"'),
        (
            {"policy": "best"},
            "option policy: unknown value 'best'",
            '"power_of_two", "random", "round_robin"',
        ),
        ({"policy": 7}, "option policy: 7 has no method pick", "or an object with pick(members, metadata)"),
        (
            {"policy": "consistent_hash"},
            "option hash_key: None with policy 'consistent_hash'",
            'a metadata key, with policy "consistent_hash" and only with it',
        ),
        ({"hash_key": "user"}, "option hash_key: 'user' with policy 'round_robin'", "a metadata key"),
        (
            {"policy": "consistent_hash", "hash_key": "user", "slow_start_s": 1},
            'option slow_start_s: does not go with policy "consistent_hash", where a key has one member',
            "  allowed: 0, or another policy",
        ),
        ({"slow_start_s": -1}, "option slow_start_s: -1 is no usable time", "seconds, 0 or more, finite"),
        (
            {"ping_interval_s": 0},
            "option ping_interval_s: 0 is no usable time",
            "seconds, more than 0, finite",
        ),
        (
            {"refresh_interval_s": math.inf},
            "option refresh_interval_s: inf is no usable time",
            "more than 0, finite",
        ),
        (
            {"watch_timeout_s": 0.5},
            "option watch_timeout_s: 0.5 is no usable time",
            "seconds, 1 or more, finite",
        ),
        ({"drain_grace_s": -1}, "option drain_grace_s: -1 is no usable time", "seconds, 0 or more, finite"),
        (
            {"api_client": object(), "context": "x"},
            "option api_client: given together with kubeconfig or context",
            "  allowed: a client, or a kubeconfig and a context to make one from",
        ),
    ],
)
def test_a_value_that_means_nothing(options: dict[str, Any], what: str, allowed: str) -> None:
    """A refusal names the option and the value, what is allowed, and what to do."""
    with pytest.raises(OptionError) as caught:
        Options(**options)

    lines = str(caught.value).splitlines()
    assert lines[0] == what
    assert allowed in lines[1]
    assert lines[2].startswith("  do: ")


def test_the_callers_channel_options_win() -> None:
    """gRPC arguments of the caller replace ours of the same name, and the authority is the Service's."""
    given = Options(options=(("grpc.max_reconnect_backoff_ms", 1), ("grpc.keepalive_time_ms", 7)))

    merged = dict(given.member_options("greeter.shop.svc:50051"))

    assert merged["grpc.max_reconnect_backoff_ms"] == 1
    assert merged["grpc.keepalive_time_ms"] == 7
    assert merged["grpc.default_authority"] == "greeter.shop.svc:50051"
    assert merged["grpc.use_local_subchannel_pool"] == 1


def test_equal_options_are_one_key() -> None:
    """Pools are shared by options, so equal ones hash alike and different ones differ."""
    assert hash(Options()) == hash(Options(mode="watch"))
    assert Options() != Options(policy="random")
