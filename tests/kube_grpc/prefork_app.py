"""A WSGI application that opens its channel, and calls, before its server forks; it says who answered, and where."""

import json
import os
import threading

import kube_grpc

channel = kube_grpc.Channel("greeter.shop:50051", kubeconfig=os.environ["KUBECONFIG"])
say = channel.unary_unary("/test.Echo/Say")
# gRPC's threads are there before the fork, as with an application that warms up.
say(b"before", timeout=20, wait_for_ready=True)
MASTER = os.getpid()


def app(environ, start_response):  # type: ignore[no-untyped-def]  # the signature is WSGI's
    """One call for each request."""
    said = say(b"x", timeout=20, wait_for_ready=True).decode()
    start_response("200 OK", [("Content-Type", "application/json")])
    facts = {"said": said, "pid": os.getpid(), "master": MASTER, "threads": threading.active_count()}
    return [json.dumps(facts).encode()]
