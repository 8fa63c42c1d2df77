"""What the error of a call says when there is no member."""

import pytest

from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.situation import Situation
from kube_grpc.target import Target

TARGET = Target("greeter", "shop", 50051)
REFUSED = DiscoveryError("list of EndpointSlices: refused", kind="unreachable")
ONE = (Endpoint("10.0.0.1", 50051, ready=False),)


@pytest.mark.parametrize(
    ("facts", "is_pending", "text"),
    [
        (
            {},
            True,
            "no member for greeter.shop:50051: no answer from the Kubernetes API yet, asked since "
            "2023-11-14T22:13:20Z (5.0 s)",
        ),
        (
            {"error": REFUSED, "failing_since_at": 1_700_000_002.0},
            False,
            "no member for greeter.shop:50051: its endpoints were never known; discovery fails since "
            "2023-11-14T22:13:22Z (3.0 s): list of EndpointSlices: refused",
        ),
        (
            {"wanted": EndpointSet()},
            False,
            "no member for greeter.shop:50051: no EndpointSlice has the label "
            "kubernetes.io/service-name=greeter in namespace shop; does the Service exist?",
        ),
        (
            {"wanted": EndpointSet(slices=1)},
            False,
            "no member for greeter.shop:50051: the Service has no endpoints; is it scaled to zero, or does its "
            "selector match no pod?",
        ),
        (
            {"wanted": EndpointSet(ONE, slices=1)},
            False,
            "no member for greeter.shop:50051: 1 endpoints listed, none of them ready",
        ),
        (
            {"wanted": EndpointSet(slices=1, notes=('no port matches "web"',))},
            False,
            'no member for greeter.shop:50051: no port matches "web"',
        ),
        (
            {"wanted": EndpointSet(ONE, slices=1), "failed": 1, "evicted": 2, "unresponsive": 3},
            False,
            "no member for greeter.shop:50051: 1 endpoints listed, 1 can not be connected to, 3 not answering the "
            "ping, 2 out until the next refresh because the ping failed",
        ),
        (
            {"wanted": EndpointSet(ONE, slices=1), "connecting": 1, "error": REFUSED},
            True,
            "no member for greeter.shop:50051: 1 endpoints listed, 1 still connecting; discovery fails since "
            "2023-11-14T22:13:20Z (5.0 s): list of EndpointSlices: refused",
        ),
    ],
)
def test_each_situation_in_words(facts: dict[str, object], is_pending: bool, text: str) -> None:
    """The text names the Service, what is known of it, the last discovery error and since when."""
    situation = Situation(TARGET, 1_700_000_000.0, **facts)  # type: ignore[arg-type]

    assert situation.explain(1_700_000_005.0) == text
    assert situation.is_pending == is_pending
