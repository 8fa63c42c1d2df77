"""gRPC over all pods of a Kubernetes Service, balanced in the client.

    import kube_grpc
    stub = kube_grpc.connect("greeter.default.svc.cluster.local:50051", GreeterStub)
    stub.SayHello(HelloRequest(name="world"))           # each call to the next pod

or, for anything that takes a grpc.Channel:

    with kube_grpc.Channel("greeter.default.svc.cluster.local:50051") as channel:
        stub = GreeterStub(channel)

Calls are spread over the pods that are ready, and the set follows the Service's EndpointSlices within
milliseconds. An API server that is away, a right that is missing or a Service that is deleted never takes a
working pod away.
"""

from kube_grpc.channel import Channel, MemberView
from kube_grpc.ejection import Ejection
from kube_grpc.errors import AccessError, DiscoveryError, KubeGrpcError, OptionError, TargetError
from kube_grpc.hedges import Hedge
from kube_grpc.outcome import NoMemberError
from kube_grpc.policies import Policy
from kube_grpc.retries import Retry
from kube_grpc.sharing import close, close_all, connect

__all__ = [
    "AccessError",
    "Channel",
    "DiscoveryError",
    "Ejection",
    "Hedge",
    "KubeGrpcError",
    "MemberView",
    "NoMemberError",
    "OptionError",
    "Policy",
    "Retry",
    "TargetError",
    "close",
    "close_all",
    "connect",
]
