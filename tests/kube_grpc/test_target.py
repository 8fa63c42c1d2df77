"""Targets: every accepted shape, and the wording of every refusal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_grpc.errors import KubeGrpcError, TargetError
from kube_grpc.target import Target, has_namespace, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("greeter.shop.svc.cluster.local:50051", Target("greeter", "shop", 50051, "cluster.local")),
        ("greeter.shop.svc.cluster.local.:50051", Target("greeter", "shop", 50051, "cluster.local")),
        ("abc.ns.svc.local:10000", Target("abc", "ns", 10000, "local")),
        ("greeter.shop.svc:50051", Target("greeter", "shop", 50051)),
        ("greeter.shop:50051", Target("greeter", "shop", 50051)),
        ("greeter:50051", Target("greeter", "mine", 50051)),
        ("greeter.shop:grpc", Target("greeter", "shop", "grpc")),
        ("greeter.shop:h2-c", Target("greeter", "shop", "h2-c")),
        ("1up.shop:65535", Target("1up", "shop", 65535)),
        ("kubernetes:///greeter.shop:50051", Target("greeter", "shop", 50051)),
        ("kubernetes:///greeter.shop:grpc", Target("greeter", "shop", "grpc")),
        ("kubernetes:///greeter:50051", Target("greeter", "mine", 50051)),
        ("kubernetes:///greeter.shop.svc.cluster.local:1", Target("greeter", "shop", 1, "cluster.local")),
        ("kubernetes://shop/greeter:50051", Target("greeter", "shop", 50051)),
        ("kubernetes://greeter.shop:50051/", Target("greeter", "shop", 50051)),
    ],
)
def test_a_target_in_any_of_its_shapes(text: str, expected: Target) -> None:
    """Each documented shape means the Service that cluster DNS would mean."""
    assert parse(text, namespace="mine") == expected


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("greeter.shop", "has no port", "append the port of the Service"),
        ("greeter.shop:", '"" is neither a port number nor a port name', 'for example ":50051"'),
        ("greeter.shop:0", "port 0 is out of range", "1 to 65535"),
        ("greeter.shop:65536", "port 65536 is out of range", "1 to 65535"),
        ("greeter.shop:GRPC", '"GRPC" is neither a port number nor a port name', 'for example ":50051"'),
        ("greeter.shop:a--b", '"a--b" is neither a port number', 'for example ":50051"'),
        ("greeter.shop:²", '"²" is neither a port number', 'for example ":50051"'),
        ("dns:///greeter.shop:50051", "has a scheme", 'leave out "dns:" and any slashes'),
        ("kubernetes:///greeter.shop", "has no port", "append the port of the Service"),
        ("kubernetes://", "has no port", "append the port of the Service"),
        ("kubernetes:greeter.shop:1", '"kubernetes:greeter" is not a DNS label', "lower case letters"),
        ("Greeter.shop:50051", '"Greeter" is not a DNS label', "lower case letters"),
        ("greeter..svc:50051", '"" is not a DNS label', "lower case letters"),
        (":50051", '"" is not a DNS label', "lower case letters"),
        ("10.0.0.1:50051", '"0" stands where "svc" is expected', "not of a host or an address"),
        ("greeter.shop.pod.local:1", '"pod" stands where "svc" is expected', "give the name of a Service"),
        ("greeter:50051", "has no namespace, and none is known here", 'write "greeter.NAMESPACE:50051"'),
    ],
)
def test_what_is_not_a_target(text: str, what: str, remedy: str) -> None:
    """A refusal quotes the target, says what is wrong with it, what is allowed and what to do."""
    with pytest.raises(TargetError) as caught:
        parse(text)

    first, *rest = str(caught.value).splitlines()
    assert first.startswith(f'target "{text}": {what}')
    assert '  allowed: "name.namespace.svc.cluster.local:50051"' in rest[0]
    assert rest[-1].startswith("  do: ")
    assert remedy in rest[-1]
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, KubeGrpcError)


LABELS = st.from_regex(re.compile(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", re.ASCII), fullmatch=True)


@given(LABELS, LABELS, st.integers(1, 65535))
def test_what_is_printed_is_read_back(service: str, namespace: str, port: int) -> None:
    """`str` of a target names the same Service, so that it can serve as a key and be pasted from a log."""
    target = Target(service, namespace, port)

    assert parse(str(target)) == target


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    """Nothing but TargetError comes out of a wrong target, and a default namespace never hides a wrong one."""
    try:
        target = parse(text, namespace="mine")
    except TargetError:
        return
    assert target.service
    assert target.namespace
    assert has_namespace(text) or target.namespace == "mine"


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("greeter.shop.svc.cluster.local:50051", "greeter.shop.svc.cluster.local:50051"),
        ("greeter.shop:50051", "greeter.shop.svc:50051"),
        ("greeter.shop:grpc", "greeter.shop.svc"),
    ],
)
def test_the_authority_is_the_service(text: str, authority: str) -> None:
    """Pods are asked for by the Service's name: that is what their certificate can be made out to."""
    assert parse(text).authority == authority
