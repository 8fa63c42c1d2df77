"""`python -m benchmarks.echo ADDRESS:PORT …`: an echo server on these addresses; says their ports when it serves.

It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import grpc.aio

METHOD = "/bench.Echo/Say"


async def _say(request: bytes, _context: grpc.aio.ServicerContext) -> bytes:  # type: ignore[type-arg]
    return request


async def serve(addresses: list[str]) -> None:
    """Serve until standard input ends."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers = {"Say": grpc.unary_unary_rpc_method_handler(_say)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    ports = [server.add_insecure_port(each) for each in addresses]
    await server.start()
    print(*ports, flush=True)  # noqa: T201 -- who started it waits for that
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
