"""Samples as lines."""

import json
import string
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_server.samples import DETAIL_LENGTH, Sample, encode_json, encode_text, peer_of, pod_of, shorten

SCHEMA = json.loads((files("harness") / "schema" / "sample-v1.json").read_text(encoding="utf-8"))

samples = st.builds(
    Sample,
    variant=st.sampled_from(["pool", "headless-rr"]),
    seq=st.integers(0, 10**9),
    sent_at=st.floats(1, 4e9),
    latency_s=st.floats(0, 1e4),
    code=st.sampled_from(["OK", "UNAVAILABLE", "DEADLINE_EXCEEDED"]),
    message=st.none() | st.text(),
    peer=st.none() | st.just("10.244.0.7:50051"),
    detail=st.none() | st.text(),
)


@given(samples)
def test_every_sample_is_one_line_of_the_schema(sample: Sample) -> None:
    """Whatever a server answers, the line is one line, parses, and fits the published schema."""
    line = encode_json(sample)
    assert line.splitlines() == [line]
    jsonschema.validate(json.loads(line), SCHEMA)


def test_schema_refuses_a_line_without_its_code() -> None:
    """Negative control: the schema that the lines are held to does refuse."""
    record = json.loads(encode_json(Sample("pool", 1, 1.0, 0.1, "OK")))
    del record["code"]
    with pytest.raises(jsonschema.ValidationError, match="'code' is a required property"):
        jsonschema.validate(record, SCHEMA)


def test_answered_call() -> None:
    """An answered call names its pod and carries no detail."""
    sample = Sample("pool", 17, 1764000000.1234567, 0.0012, "OK", '"greeter-a" says: Hello world')
    assert encode_json(sample) == (
        '{"v": 1, "variant": "pool", "seq": 17, "sent_at": 1764000000.123457, "latency_s": 0.0012, "code": "OK", '
        '"pod": "greeter-a", "peer": null}'
    )
    assert encode_text(sample) == 'Greeting: "greeter-a" says: Hello world'


def test_failed_call() -> None:
    """A failed call has no pod and says why."""
    sample = Sample("pool", 0, 1.0, 0.5, "UNAVAILABLE", None, "10.0.0.1:1", "Connection\nrefused")
    record = json.loads(encode_json(sample))
    assert (record["pod"], record["peer"], record["detail"]) == (None, "10.0.0.1:1", "Connection refused")
    assert encode_text(sample) == "Failed: UNAVAILABLE: Connection refused"
    assert encode_text(Sample("pool", 0, 1.0, 0.5, "CANCELLED")) == "Failed: CANCELLED"


@given(st.text(string.ascii_lowercase + string.digits + "-", min_size=1), st.text())
def test_pod_is_read_from_the_greeting(pod: str, name: str) -> None:
    """The pod's name is what stands in the quotes, whoever is greeted."""
    assert pod_of(f'"{pod}" says: Hello {name}') == pod


@pytest.mark.parametrize("message", ["", "Hello world", '"" says: Hello x', 'x "a" says: Hello y'])
def test_other_answers_name_no_pod(message: str) -> None:
    """Negative control: an answer that is not the Greeter's names no pod."""
    assert pod_of(message) is None


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("last error: UNKNOWN: ipv4:127.0.0.2:50990: Failed to connect to remote host", "127.0.0.2:50990"),
        ("ipv4:10.0.0.1:1: refused; ipv4:10.0.0.2:2: refused", "10.0.0.2:2"),
        ("last error: UNKNOWN: ipv6:%5B::1%5D:50051: Failed to connect", "[::1]:50051"),
        ("ipv6:[fd00::7]:50051: Failed", "[fd00::7]:50051"),
        ("UNAVAILABLE:Stream removed (Socket closed)", None),
        ("DEADLINE_EXCEEDED:Deadline Exceeded", None),
        ("errors resolving nope.invalid:50990", None),
        ("", None),
    ],
)
def test_peer_is_read_where_grpc_tells_it(text: str, peer: str | None) -> None:
    """The address that gRPC tried last, and nothing where it names none."""
    assert peer_of(text) == peer


@given(st.text())
def test_detail_is_short_and_of_one_line(text: str) -> None:
    """No detail is longer than allowed or has a line break."""
    short = shorten(text)
    assert len(short) <= DETAIL_LENGTH
    assert len(short.splitlines()) <= 1
