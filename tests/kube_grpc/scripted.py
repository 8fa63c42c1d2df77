"""A server that does as each call says, and what a caller can see of a call: for comparing channels with gRPC's own.

The metadata key `script` says what: `ok`, `abort`, `raise`, `hold` (until the call is over), `late` (a stream that is
aborted after its first response), `trail` (failed by set_code, without an exception), `long` (a long response). All
send trailing metadata, and initial metadata unless they fail at once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc

SERVICE = "test.Scripted"
KINDS = {"uu": "unary_unary", "us": "unary_stream", "su": "stream_unary", "ss": "stream_stream"}
FIRST, LAST = (("x-first", "1"),), (("x-last", "2"), ("x-bytes-bin", b"\x00\xff"))


class Server:
    """At `address`, until `stop`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._executor = futures.ThreadPoolExecutor(16)
        self._server = grpc.server(self._executor, options=[("grpc.so_reuseport", 0)])
        handlers = {
            "uu": grpc.unary_unary_rpc_method_handler(lambda request, context: self._one([request], context)),
            "us": grpc.unary_stream_rpc_method_handler(
                lambda request, context: self._many([request], context)
            ),
            "su": grpc.stream_unary_rpc_method_handler(self._one),
            "ss": grpc.stream_stream_rpc_method_handler(self._many),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._server.add_insecure_port(f"{address}:50051")
        self._server.start()

    def stop(self) -> None:
        """Calls in flight fail."""
        self._server.stop(0).wait()
        self._executor.shutdown()

    def _begin(self, requests: Any, context: Any) -> str:
        script = {item.key: item.value for item in context.invocation_metadata()}.get("script", "ok")
        context.set_trailing_metadata(LAST)
        if script in ("abort", "raise"):
            # With nothing under way any more, so that what is seen does not depend on what comes first.
            list(requests)
            if script == "abort":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as the script says")
            raise RuntimeError("as the script says")
        context.send_initial_metadata(FIRST)
        if script == "trail":
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("not there")
        return str(script)

    def _one(self, requests: Any, context: Any) -> bytes:
        named = self._begin(requests, context)
        if named == "hold":
            self._hold(context)
        return b",".join(requests) + (b" " + b"z" * 2000 if named == "long" else b"")

    def _many(self, requests: Any, context: Any) -> Iterator[bytes]:
        named = self._begin(requests, context)
        yield b"0"
        if named == "late":
            context.abort(grpc.StatusCode.DATA_LOSS, "in the middle")
        if named == "hold":
            self._hold(context)
        yield from requests

    def _hold(self, context: Any) -> None:
        over = threading.Event()
        if context.add_callback(over.set):
            over.wait(60)


def told(what: Callable[[], Any]) -> Any:
    """What a function returns, or the kind of error that it raises and what that says, in comparable words."""
    try:
        found = what()
    except grpc.RpcError as error:
        status: Any = error
        return ("RpcError", status.code().name, status.details())
    except Exception as error:  # noqa: BLE001  # whatever it is, the other channel must raise it, too
        return (type(error).__name__, plain(str(error)))
    return plain(found)


def plain(found: Any) -> Any:
    """A value without what differs from call to call."""
    if isinstance(found, grpc.StatusCode):
        return found.name
    if isinstance(found, tuple | list) and found and all(hasattr(item, "key") for item in found):
        return tuple((item.key, item.value) for item in found if item.key.startswith("x-"))
    if isinstance(found, str):
        return re.sub(r" at 0x[0-9a-f]+", "", found)
    if isinstance(found, float):
        return "seconds"
    if isinstance(found, grpc.RpcError):
        return told(lambda: (_ for _ in ()).throw(found))
    if isinstance(found, tuple | list):
        return tuple(plain(item) for item in found)
    return found
