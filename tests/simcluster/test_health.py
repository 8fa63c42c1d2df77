"""The frames of a health check's answer: however they come in pieces, and whatever comes that is none."""

import itertools

import h2.config
import h2.connection
import h2.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.kubelet.health import Frames, Unhealthy, _open_call, _Reply, _take


def answer(headers: int, body: bytes, *, padding: int | None, after: bytes = b"") -> bytes:
    """What a server sends to one check: its settings, headers with so many fields, a body, trailers."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    server.receive_data(_open_call("10.0.0.1:1", "s", "kube-probe/1.36"))
    fields = [(f"x-{number}", "v" * 40) for number in range(headers)]
    server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc"), *fields])
    server.send_data(1, body, pad_length=padding)
    server.send_headers(1, [("grpc-status", "0")], end_stream=True)
    return server.data_to_send() + after


def read(pieces: list[bytes]) -> _Reply:
    reply, frames = _Reply(), Frames()
    for piece in pieces:
        for frame in frames.feed(piece):
            _take(frame, reply, frames)
            if reply.ended:
                return reply
    return reply


@given(
    st.integers(0, 600),
    st.binary(max_size=100),
    st.none() | st.integers(0, 50),
    st.lists(st.integers(0, 30_000)),
)
def test_an_answer_is_read_in_whatever_pieces(
    headers: int, body: bytes, padding: int | None, cuts: list[int]
) -> None:
    """Headers over several frames, padding, and cuts anywhere: status and data are what the server sent."""
    data = answer(headers, body, padding=padding)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    reply = read([data[start:end] for start, end in itertools.pairwise(places)])

    assert (reply.status, reply.data, reply.ended) == ("0", body, True)


def test_what_comes_after_the_answer_is_not_about_it() -> None:
    """A server that says goodbye in the same breath has answered."""
    goodbye = (8).to_bytes(3) + bytes([7, 0]) + bytes(4) + bytes(8)

    assert read([answer(0, b"x", padding=None, after=goodbye)]).status == "0"


def test_a_goodbye_instead_of_an_answer() -> None:
    """GOAWAY and RST_STREAM before the answer are failures, with their code."""
    settings = (0).to_bytes(3) + bytes([4, 0]) + bytes(4)
    for frame in (
        (8).to_bytes(3) + bytes([7, 0]) + bytes(4) + bytes(4) + (11).to_bytes(4),
        (4).to_bytes(3) + bytes([3, 0]) + (1).to_bytes(4) + (11).to_bytes(4),
    ):
        with pytest.raises(Unhealthy, match=r"reset the call \(11\)"):
            read([settings + frame])


@given(st.binary(max_size=200))
def test_anything_else_is_refused_or_waited_for(data: bytes) -> None:
    """Bytes that are no HTTP/2 raise nothing but what the prober knows."""
    try:
        read([data])
    except (h2.exceptions.ProtocolError, Unhealthy):
        return


def test_a_server_of_another_protocol_is_found_at_once() -> None:
    """The first frame must be SETTINGS: an answer in HTTP/1.1 is none."""
    with pytest.raises(h2.exceptions.ProtocolError):
        read([b"HTTP/1.1 400 Bad Request\r\n\r\n"])
