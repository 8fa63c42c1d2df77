"""The client as a process, against real servers."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from demo_server.client import parse_settings
from demo_server.pacer import Pacer
from demo_server.variants import SettingsError

WAIT_S = 20.0
TARGET = ["--variant", "clusterip", "--target", "ipv4:127.0.0.1:1"]


def read_samples(program: Any) -> list[dict[str, Any]]:
    """All samples of a client that ends by itself."""
    assert program.process.stdout is not None
    lines = program.process.stdout.read().splitlines()
    assert program.process.wait(WAIT_S) == 0, program.log()
    return [json.loads(line) for line in lines]


def test_answered_calls(start, start_greeter) -> None:
    """Each call is one sample, in order of its sequence number, with the pod that answered and the time it was sent."""
    greeter = start_greeter("greeter-a")
    began_at = time.time()
    client = start(
        "demo_server.client",
        "--variant",
        "headless",
        "--target",
        f"ipv4:{greeter.address}",
        "--count=20",
        "--rate=200",
    )
    samples = sorted(read_samples(client), key=lambda sample: sample["seq"])
    assert [sample["seq"] for sample in samples] == list(range(20))
    assert {(each["v"], each["variant"], each["code"], each["pod"]) for each in samples} == {
        (1, "headless", "OK", "greeter-a")
    }
    sent = [sample["sent_at"] for sample in samples]
    assert sent == sorted(sent)
    assert began_at < sent[0] < sent[-1] < time.time()
    assert all(0 < sample["latency_s"] < WAIT_S for sample in samples)


def test_text_is_what_the_first_demo_printed(start, start_greeter) -> None:
    """`--format text` prints the first demo's lines."""
    greeter = start_greeter("greeter-a")
    client = start(
        "demo_server.client",
        "--variant=clusterip",
        f"--target=ipv4:{greeter.address}",
        "--count=2",
        "--format=text",
    )
    assert client.process.stdout is not None
    assert client.process.stdout.read() == 'Greeting: "greeter-a" says: Hello world\n' * 2


def test_slow_answers_do_not_thin_the_load(start, start_greeter) -> None:
    """With answers of 0.5 s, 40 calls at 80 a second are sent within about half a second, before any answer."""
    greeter = start_greeter("greeter-a", "--delay-s=0.5", "--threads=64")
    client = start(
        "demo_server.client",
        "--variant=clusterip",
        f"--target=ipv4:{greeter.address}",
        "--count=40",
        "--rate=80",
        "--deadline=10",
    )
    samples = read_samples(client)
    sent = sorted(sample["sent_at"] for sample in samples)
    assert {sample["code"] for sample in samples} == {"OK"}
    assert min(sample["latency_s"] for sample in samples) >= 0.5
    # One after the other would take 20 s.
    assert sent[-1] - sent[0] < 2.0


def test_deadline_is_of_each_call(start, start_greeter) -> None:
    """A server that is too slow gives DEADLINE_EXCEEDED after the deadline, with no peer, because gRPC names none."""
    greeter = start_greeter("greeter-a", "--delay-s=5", "--grace=0")
    client = start(
        "demo_server.client",
        "--variant=clusterip",
        f"--target=ipv4:{greeter.address}",
        "--count=3",
        "--rate=100",
        DEADLINE_S="0.3",
    )
    samples = read_samples(client)
    assert [(each["code"], each["pod"], each["peer"]) for each in samples] == [
        ("DEADLINE_EXCEEDED", None, None)
    ] * 3
    assert all(0.29 < sample["latency_s"] < 3 for sample in samples)


def test_refused_connection_names_its_peer(start, free_port) -> None:
    """Where nobody listens, the sample says UNAVAILABLE and which address was tried."""
    peer = f"127.0.0.1:{free_port()}"
    samples = read_samples(
        start("demo_server.client", "--variant=clusterip", f"--target=ipv4:{peer}", "--count=1")
    )
    assert [(each["code"], each["pod"], each["peer"]) for each in samples] == [("UNAVAILABLE", None, peer)]
    assert "Connection refused" in samples[0]["detail"]


def test_broken_connection_is_a_failed_sample(start, start_greeter, connections) -> None:
    """A server that is killed under a call gives UNAVAILABLE with a detail, and the client goes on."""
    greeter = start_greeter("greeter-a", "--delay-s=5")
    client = start(
        "demo_server.client",
        "--variant=clusterip",
        f"--target=ipv4:{greeter.address}",
        "--count=1",
        "--deadline=4",
    )
    client.wait_for("clusterip calls")
    deadline_s = time.monotonic() + WAIT_S
    while connections(greeter.port) == 0:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    # The call follows the connection at once, and nobody tells when it is there.
    time.sleep(0.2)
    greeter.process.kill()
    samples = read_samples(client)
    assert [(each["code"], each["pod"]) for each in samples] == [("UNAVAILABLE", None)]
    assert samples[0]["detail"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_lets_calls_in_flight_end(start, start_greeter, number: signal.Signals) -> None:
    """After a stop signal nothing new is sent, what is in flight is answered and printed, and the exit code is 0."""
    greeter = start_greeter("greeter-a", "--delay-s=0.5", "--threads=64")
    client = start(
        "demo_server.client",
        "--variant=clusterip",
        f"--target=ipv4:{greeter.address}",
        "--rate=100",
        "--deadline=5",
    )
    assert client.process.stdout is not None
    first = json.loads(client.process.stdout.readline())
    stopped_at = time.time()
    client.process.send_signal(number)
    samples = [first, *read_samples(client)]
    assert {sample["code"] for sample in samples} == {"OK"}
    assert [sample["seq"] for sample in sorted(samples, key=lambda each: each["seq"])] == list(
        range(len(samples))
    )
    in_flight = [
        each for each in samples if each["sent_at"] < stopped_at < each["sent_at"] + each["latency_s"]
    ]
    assert in_flight
    assert max(sample["sent_at"] for sample in samples) < stopped_at + 0.5
    client.wait_for(rf"{len(samples)} calls sent, \d+ of them late")


def test_stopped_process_sends_what_it_missed(start, start_greeter) -> None:
    """A client that the system held still for half a second sends each call it missed, late and counted as late."""
    greeter = start_greeter("greeter-a")
    client = start(
        "demo_server.client",
        "--variant=clusterip",
        f"--target=ipv4:{greeter.address}",
        "--rate=100",
        "--count=150",
    )
    assert client.process.stdout is not None
    first = json.loads(client.process.stdout.readline())
    client.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    client.process.send_signal(signal.SIGCONT)
    samples = sorted([first, *read_samples(client)], key=lambda sample: sample["seq"])
    assert [sample["seq"] for sample in samples] == list(range(150))
    gaps = [after["sent_at"] - before["sent_at"] for before, after in itertools.pairwise(samples)]
    assert max(gaps) > 0.4
    assert samples[-1]["sent_at"] - samples[0]["sent_at"] < 2.5
    assert int(client.wait_for(r"calls sent, (\d+) of them late")[1]) > 10


def test_reader_that_goes_away_ends_the_client(start_greeter, tmp_path) -> None:
    """A closed output ends the client with code 1 and a sentence, not with a load that nobody sees."""
    greeter = start_greeter("greeter-a")
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "demo_server.client", "--variant=clusterip"],
            *[f"--target=ipv4:{greeter.address}", "--rate=50"],
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    try:
        assert process.wait(WAIT_S) == 1
    finally:
        process.kill()
    assert process.stderr is not None
    with process.stderr:
        assert "the reader of the samples went away: " in process.stderr.read()


def test_environment_gives_the_defaults() -> None:
    """RATE, DEADLINE_S and the intervals come from the environment; the command line wins."""
    environ = {
        "RATE": "25",
        "DEADLINE_S": "0.5",
        "PING_INTERVAL_S": "2",
        "REFRESH_INTERVAL_S": "5",
        "INGRESS_CA": "pem",
    }
    settings = parse_settings(TARGET, {**environ, "GRPC_DNS_AUTHORITY": "127.0.0.1:5353"})
    assert (settings.pacer, settings.deadline_s) == (Pacer(25.0), 0.5)
    destination = settings.destination
    assert (destination.ping_interval_s, destination.refresh_interval_s) == (2.0, 5.0)
    assert (destination.ca_certificate, destination.dns_authority) == (b"pem", "127.0.0.1:5353")
    assert parse_settings([*TARGET, "--rate=3", "--count=4"], environ).pacer == Pacer(3.0, 4)


def test_unset_environment_gives_the_original_numbers() -> None:
    """Without settings: the original's intervals, and no DNS server of its own."""
    destination = parse_settings(TARGET, {}).destination
    assert (destination.ping_interval_s, destination.refresh_interval_s) == (1.0, 60.0)
    assert destination.dns_authority is None


@pytest.mark.parametrize(
    ("name", "what", "text"),
    [
        ("RATE", "rate", "fast"),
        ("RATE", "rate", "0"),
        ("DEADLINE_S", "deadline", "inf"),
        ("PING_INTERVAL_S", "PING_INTERVAL_S", "-1"),
        ("REFRESH_INTERVAL_S", "REFRESH_INTERVAL_S", "nan"),
    ],
)
def test_unusable_number_is_named(name: str, what: str, text: str) -> None:
    """A setting that is no number above 0 is named with its text."""
    with pytest.raises(SettingsError) as refusal:
        parse_settings(TARGET, {name: text})
    assert str(refusal.value) == f'{what}: "{text}" is not a number above 0'


def test_unreadable_ca_file_is_named() -> None:
    """A CA file that is not there is named with the reason."""
    with pytest.raises(SettingsError) as refusal:
        parse_settings([*TARGET, "--ca-file=/nowhere/ca.crt"], {})
    assert str(refusal.value) == "--ca-file: cannot read /nowhere/ca.crt: No such file or directory"


def test_unusable_settings_end_the_program(start) -> None:
    """A mistake of the user ends the program with code 2 and one sentence, no traceback."""
    client = start("demo_server.client", "--variant=ingress", "--target=ipv4:127.0.0.1:1", "--count=1")
    assert client.process.wait(WAIT_S) == 2
    client.wait_for("variant ingress needs the certificate authority of the gateway: set INGRESS_CA")
    assert "Traceback" not in client.log()


def test_bad_count_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A count that is no whole number is named."""
    with pytest.raises(SystemExit):
        parse_settings([*TARGET, "--count=many"], {})
    assert '"many" is not a number of calls; give 0 or more' in capsys.readouterr().err
