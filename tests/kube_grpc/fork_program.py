"""A process that opens a channel, calls and forks, and prints what came of it as JSON lines."""

import asyncio
import json
import multiprocessing
import os
import sys
import threading
from concurrent import futures
from typing import Any

import grpc

import kube_grpc
import kube_grpc.aio

SAY = "/test.Echo/Say"
KUBECONFIG, WAY = sys.argv[1:3]


def say(channel: Any) -> str:
    answer: bytes = channel.unary_unary(SAY)(b"x", timeout=20, wait_for_ready=True)
    return answer.decode()


def report(who: str, **facts: Any) -> None:
    os.write(1, (json.dumps({"who": who, **facts}) + "\n").encode())


def fork(child: Any) -> int:
    """Run it in a forked child; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def call_in_child(channel: Any) -> None:
    try:
        report("child", said=say(channel), threads=sorted(item.name for item in threading.enumerate()))
    except Exception as error:  # noqa: BLE001 it is what is reported
        report("child", error=f"{type(error).__name__}: {error}")


def work_in_pool(channel: Any) -> str:
    return say(_channel)


_channel: Any = None


def main() -> None:
    global _channel
    if WAY == "aio":
        asyncio.run(fork_with_aio())
        return
    with kube_grpc.Channel("greeter:50051", kubeconfig=KUBECONFIG) as channel:
        report("parent", said=say(channel))
        if WAY == "busy":
            stop = threading.Event()
            with futures.ThreadPoolExecutor(4) as threads:
                calling = [threads.submit(call_until, channel, stop) for _ in range(4)]
                codes = [fork(lambda: call_in_child(channel)) for _ in range(10)]
                stop.set()
                failed = [error for item in calling for error in item.result()]
                report("parent", codes=codes, failed=failed)
        elif WAY == "pool":
            _channel = channel
            with multiprocessing.get_context("fork").Pool(3) as workers:
                report("parent", said_by_workers=sorted(workers.map(work_in_pool, range(6))))
        elif WAY == "idle":
            fork(lambda: report("child", threads=[item.name for item in threading.enumerate()]))
        else:
            report("parent", code=fork(lambda: call_in_child(channel)))
        report("parent", said=say(channel))


def call_until(channel: Any, stop: threading.Event) -> list[str]:
    failed = []
    while not stop.is_set():
        try:
            say(channel)
        except grpc.RpcError as error:
            failed.append(str(error))
    return failed


async def fork_with_aio() -> None:
    async with kube_grpc.aio.Channel("greeter:50051", kubeconfig=KUBECONFIG) as channel:
        report(
            "parent", said=(await channel.unary_unary(SAY)(b"x", timeout=20, wait_for_ready=True)).decode()
        )

        def child() -> None:
            try:
                channel.unary_unary(SAY)(b"x")
            except Exception as error:  # noqa: BLE001 it is what is reported
                report("child", error=f"{type(error).__name__}: {error}")

        report("parent", code=fork(child))


main()
