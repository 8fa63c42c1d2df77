"""The Greeter server as a process."""

import signal
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from demo_server.address import ListenAddress
from demo_server.helloworld_pb2 import HelloReply, HelloRequest
from demo_server.helloworld_pb2_grpc import GreeterStub
from demo_server.server import parse_settings

WAIT_S = 10.0


def open_channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def greet_slowly(channel: grpc.Channel) -> "grpc.Future[HelloReply]":
    """A call that the server has begun to work on."""
    call = GreeterStub(channel).SayHello.future(HelloRequest(name="slow"), timeout=WAIT_S)
    # The connection is up and the call is sent before a health check on the same connection is answered.
    check(channel)
    return call


def check(channel: grpc.Channel, service: str = "") -> str:
    request = health_pb2.HealthCheckRequest(service=service)
    status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_S).status
    return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


def test_answer_names_the_pod(start_greeter) -> None:
    """The answer is the first demo's, to the letter."""
    greeter = start_greeter("greeter-a")
    with open_channel(greeter.address) as channel:
        reply = GreeterStub(channel).SayHello(HelloRequest(name="world"), timeout=WAIT_S)
    assert reply.message == '"greeter-a" says: Hello world'


def test_health_and_reflection_are_served(start_greeter) -> None:
    """A probe finds the server and the Greeter SERVING, and a tool finds out what is served."""
    greeter = start_greeter("greeter-a")
    with open_channel(greeter.address) as channel:
        assert check(channel) == "SERVING"
        assert check(channel, "helloworld.Greeter") == "SERVING"
        with pytest.raises(grpc.RpcError) as failure:
            check(channel, "helloworld.Nobody")
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answer = next(iter(stub.ServerReflectionInfo(iter([request]), timeout=WAIT_S)))
    names = {service.name for service in answer.list_services_response.service}
    assert {"helloworld.Greeter", "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_call_in_flight_at_stop_finishes_and_new_ones_fail(start_greeter, number: signal.Signals) -> None:
    """During the stop a call of 1 s ends OK, new calls fail UNAVAILABLE, and the exit code is 0."""
    greeter = start_greeter("greeter-a", "--delay-s", "1", "--lame-duck=0", "--grace", "10")
    with open_channel(greeter.address) as channel, open_channel(greeter.address) as other:
        call = greet_slowly(channel)
        greeter.process.send_signal(number)
        greeter.program.wait_for("stopping: calls in flight have 10 s")
        with pytest.raises(grpc.RpcError) as failure:
            GreeterStub(other).SayHello(HelloRequest(name="new"), timeout=WAIT_S)
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not call.done()
        assert call.result().message == '"greeter-a" says: Hello slow'
    assert greeter.process.wait(WAIT_S) == 0


def test_lame_duck_serves_on_and_says_that_it_ends(start_greeter) -> None:
    """After SIGTERM health is NOT_SERVING, and calls are answered, also on a new connection; then they are refused."""
    greeter = start_greeter("greeter-a", "--lame-duck=3")
    with open_channel(greeter.address) as channel, open_channel(greeter.address) as other:
        assert check(channel) == "SERVING"
        greeter.process.terminate()
        greeter.program.wait_for("lame duck: serving on for 3 s")
        for each in (channel, other):
            assert GreeterStub(each).SayHello(HelloRequest(name="late"), timeout=WAIT_S).message
        assert check(channel) == "NOT_SERVING"
        assert greeter.process.wait(WAIT_S) == 0
        with pytest.raises(grpc.RpcError) as failure:
            GreeterStub(channel).SayHello(HelloRequest(name="too late"), timeout=WAIT_S)
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


def test_without_grace_the_call_in_flight_is_lost(start_greeter) -> None:
    """Negative control: with a grace of 0 the same call fails, and the stop does not wait for it."""
    greeter = start_greeter("greeter-a", "--delay-s", "1", "--lame-duck=0", "--grace", "0")
    with open_channel(greeter.address) as channel:
        call = greet_slowly(channel)
        greeter.process.terminate()
        assert call.exception(WAIT_S) is not None
        assert call.code() is not grpc.StatusCode.OK
    assert greeter.process.wait(WAIT_S) == 0


def test_call_longer_than_the_grace_is_cut(start_greeter) -> None:
    """A call that needs longer than the grace period does not hold the stop."""
    greeter = start_greeter("greeter-a", "--delay-s", "3", "--lame-duck=0", "--grace", "0.2")
    with open_channel(greeter.address) as channel:
        call = greet_slowly(channel)
        began_s = time.monotonic()
        greeter.process.terminate()
        assert call.exception(WAIT_S) is not None
        assert time.monotonic() - began_s < 2.5


def test_health_says_not_serving_during_the_stop(start_greeter) -> None:
    """A health watch that was open before the stop hears NOT_SERVING, while a call is still in flight."""
    greeter = start_greeter("greeter-a", "--delay-s", "1", "--grace", "2")
    with open_channel(greeter.address) as channel:
        call = greet_slowly(channel)
        request = health_pb2.HealthCheckRequest(service="helloworld.Greeter")
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=WAIT_S)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        greeter.process.terminate()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not call.done()
        assert call.result().message == '"greeter-a" says: Hello slow'


def test_pid_file_holds_the_process_and_goes_with_it(start_greeter, tmp_path: Path) -> None:
    """The pid file names the serving process while it serves, so that a scenario can kill it, and is gone after."""
    greeter = start_greeter("greeter-a", "--pid-file", "server.pid")
    assert (tmp_path / "server.pid").read_text() == f"{greeter.process.pid}\n"
    greeter.process.terminate()
    greeter.process.wait(WAIT_S)
    assert not (tmp_path / "server.pid").exists()


def test_taken_port_is_said_in_words(start_greeter, start) -> None:
    """A port that another server holds ends the program with code 1 and a sentence, not with a shared port."""
    greeter = start_greeter("greeter-a")
    second = start("demo_server.server", "--listen", greeter.address)
    assert second.process.wait(WAIT_S) == 1
    second.wait_for(f"cannot listen on {greeter.address}: ")
    second.wait_for("is it an address of this machine or pod, and is the port free\\?")


def test_defaults_come_from_the_downward_api() -> None:
    """POD_IP and POD_NAME give address and name; without them it is loopback and the host's name."""
    inside = parse_settings([], {"POD_IP": "10.244.0.7", "POD_NAME": "greeter-a"})
    assert (inside.listen, inside.pod) == (ListenAddress("10.244.0.7", 50051), "greeter-a")
    assert inside.lame_duck_s + inside.grace_s < 30
    outside = parse_settings([], {"LAME_DUCK_S": "0.5"})
    assert (inside.lame_duck_s, outside.lame_duck_s) == (2.0, 0.5)
    assert outside.listen == ListenAddress("127.0.0.1", 50051)


@pytest.mark.parametrize("text", ["-1", "soon", "nan", "inf"])
def test_unusable_seconds_are_refused_in_words(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A grace period that is no number of seconds is named, with what is allowed."""
    with pytest.raises(SystemExit):
        parse_settings([f"--grace={text}"], {})
    with pytest.raises(SystemExit):
        parse_settings([], {"LAME_DUCK_S": text})
    assert f'"{text}" is not a number of seconds; give 0 or more, such as 0.5' in capsys.readouterr().err


def test_stop_of_an_idle_server_is_immediate(start_greeter) -> None:
    """Without a call in flight the grace period is not waited for."""
    greeter = start_greeter("greeter-a", "--lame-duck=0", "--grace", "20")
    greeter.process.terminate()
    try:
        assert greeter.process.wait(5) == 0
    except subprocess.TimeoutExpired:
        pytest.fail("an idle server waited for its grace period")
