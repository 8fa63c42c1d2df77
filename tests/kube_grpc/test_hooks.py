"""Events as log lines."""

import pytest

from kube_grpc import hooks

MEMBER = ("greeter.shop:50051", "ipv4:10.0.0.1:50051", "greeter-x")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (hooks.MemberAdded(*MEMBER), "greeter.shop:50051: member ipv4:10.0.0.1:50051 added (pod greeter-x)"),
        (hooks.MemberReady(*MEMBER[:2], None), "greeter.shop:50051: member ipv4:10.0.0.1:50051 ready"),
        (
            hooks.MemberUnready(*MEMBER, "the connection is lost"),
            "greeter.shop:50051: member ipv4:10.0.0.1:50051 not ready (pod greeter-x): the connection is lost",
        ),
        (
            hooks.MemberRemoved(*MEMBER, "it is no longer listed"),
            "greeter.shop:50051: member ipv4:10.0.0.1:50051 removed (pod greeter-x): it is no longer listed",
        ),
        (
            hooks.DiscoveryFailed("greeter.shop:50051", "unreachable", "no answer"),
            "greeter.shop:50051: discovery failed, members stay as they are: no answer",
        ),
        (
            hooks.DiscoveryRecovered("greeter.shop:50051", 2.04),
            "greeter.shop:50051: discovery works again after 2.0 s",
        ),
    ],
)
def test_each_event_in_words(event: hooks.Event, line: str) -> None:
    """`str` of an event is its log line: the Service first, then who, then what and why."""
    assert str(event) == line
