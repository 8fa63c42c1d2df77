"""The balancer for asyncio.

async with kube_grpc.aio.Channel("greeter.default.svc.cluster.local:50051") as channel:
    await GreeterStub(channel).SayHello(HelloRequest(name="world"))     # each call to the next pod
"""

from kube_grpc.aio.channel import Channel
from kube_grpc.aio.outcome import NoMemberError
from kube_grpc.aio.sharing import close, close_all, connect

__all__ = ["Channel", "NoMemberError", "close", "close_all", "connect"]
