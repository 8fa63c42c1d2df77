"""Pods that have IPv6 addresses only, by real connections."""

from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

import kube_grpc

SAY = "/test.Echo/Say"
WAIT_S = 30.0


@pytest.mark.parametrize("target", ["greeter.shop:80", "greeter.shop:grpc"])
def test_an_ipv6_pod(target: str, api: Any, kubeconfig: Path) -> None:
    """A slice of IPv6 addresses is called as any other, on the pods' port, be the Service's given by number or name."""
    executor = futures.ThreadPoolExecutor(2)
    server = grpc.server(executor)
    say = grpc.unary_unary_rpc_method_handler(lambda request, _: b"six:" + request)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": say}),))
    try:
        port = server.add_insecure_port("[::1]:0")
    except RuntimeError:
        pytest.skip("this machine has no IPv6")
    server.start()
    api.put("a", "::1")
    (item,) = api.slices.values()
    item["addressType"] = "IPv6"
    item["ports"][0]["port"] = port
    try:
        with kube_grpc.Channel(target, kubeconfig=str(kubeconfig)) as channel:
            assert channel.unary_unary(SAY)(b"x", timeout=WAIT_S) == b"six:x"
            assert [member.peer for member in channel.members()] == [f"ipv6:[::1]:{port}"]
    finally:
        server.stop(0).wait()
        executor.shutdown()
