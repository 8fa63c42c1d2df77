"""A small pod for tests: gRPC health on the pod's own address, graceful on SIGTERM; its method tells the pod's name."""

import os
import signal
import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class _Name(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method != "/test.Pod/Name":
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: os.environ["POD_NAME"].encode())


def main() -> None:
    """Serve until SIGTERM."""
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[_Name()])
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"{os.environ['POD_IP']}:50051")
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    server.start()
    sys.stdout.write("serving\n")
    sys.stdout.flush()

    def stop(*_):
        servicer.enter_graceful_shutdown()
        server.stop(2)

    signal.signal(signal.SIGTERM, stop)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
