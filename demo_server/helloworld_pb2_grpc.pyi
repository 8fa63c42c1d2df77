# Written by hand: the generator of the gRPC stubs writes no types.
from collections.abc import Callable

import grpc

from demo_server.helloworld_pb2 import HelloReply, HelloRequest

class GreeterStub:
    SayHello: grpc.UnaryUnaryMultiCallable[HelloRequest, HelloReply]
    def __init__(self, channel: grpc.Channel) -> None: ...

class GreeterServicer:
    SayHello: Callable[[HelloRequest, grpc.ServicerContext], HelloReply]

def add_GreeterServicer_to_server(servicer: GreeterServicer, server: grpc.Server) -> None: ...
