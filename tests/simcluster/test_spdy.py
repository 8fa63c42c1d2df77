"""SPDY frames."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcluster.apiserver.spdy import (
    Answered,
    Data,
    GoAway,
    Opened,
    Ping,
    Reader,
    Reset,
    SpdyError,
    Writer,
    dictionary,
)

_NUMBERS = st.integers(1, 2**31 - 1)
_HEADERS = st.dictionaries(st.text(max_size=12), st.text(max_size=40), max_size=5)
_FRAMES = st.one_of(
    st.builds(Opened, _NUMBERS, _HEADERS, st.booleans()),
    st.builds(Answered, _NUMBERS, _HEADERS, st.booleans()),
    st.builds(Data, _NUMBERS, st.binary(max_size=60), st.booleans()),
    st.builds(Reset, _NUMBERS, st.integers(1, 11)),
    st.builds(Ping, _NUMBERS),
    st.builds(GoAway, _NUMBERS),
)


@given(st.lists(_FRAMES, max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_what_is_written_is_read_in_whatever_pieces(frames: list[object], cuts: list[int]) -> None:
    """The same frames, in their order."""
    writer, reader = Writer(), Reader()
    sent = b"".join(writer.write(frame) for frame in frames)  # type: ignore[arg-type]
    edges = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]

    pieces = [sent[begin:end] for begin, end in itertools.pairwise(edges)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == frames


@given(st.binary(max_size=200))
def test_noise_is_refused_or_waited_for(noise: bytes) -> None:
    """Whatever arrives, nothing but SpdyError comes of it."""
    try:
        list(Reader().feed(noise))
    except SpdyError:
        return


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    """1423 bytes, with the checksum that zlib streams of SPDY/3 name it by."""
    assert len(dictionary()) == 1423
    assert zlib.adler32(dictionary()) == 0xE3C6A7C2


def test_frames_as_they_are_on_the_wire() -> None:
    """Byte for byte: type, flags, length."""
    writer = Writer()

    assert writer.write(Data(5, b"ab", True)) == b"\x00\x00\x00\x05\x01\x00\x00\x02ab"
    assert writer.write(Ping(7)) == b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x07"
    assert writer.write(Reset(3, 5)) == b"\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x03\x00\x00\x00\x05"


def test_settings_and_windows_are_passed_over() -> None:
    """What has no meaning here disturbs nothing."""
    settings = b"\x80\x03\x00\x04\x00\x00\x00\x04\x00\x00\x00\x00"
    window = b"\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x01"

    assert list(Reader().feed(settings + window + Writer().write(Ping(1)))) == [Ping(1)]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x07", "version 2"),
        (b"\x80\x03\x00\x02\x00\x00\x00\x08\x00\x00\x00\x07abcd", "can not be unpacked"),
    ],
)
def test_what_is_not_spdy_3_is_refused(sent: bytes, why: str) -> None:
    """With what is wrong."""
    with pytest.raises(SpdyError, match=why):
        list(Reader().feed(sent))


def test_headers_that_unpack_to_too_much_are_refused() -> None:
    """A small frame can not fill the memory."""
    packed = zlib.compressobj(zdict=dictionary())
    block = packed.compress(bytes(10**6)) + packed.flush(zlib.Z_SYNC_FLUSH)
    frame = b"\x80\x03\x00\x02\x00" + (4 + len(block)).to_bytes(3, "big") + b"\x00\x00\x00\x01" + block

    with pytest.raises(SpdyError, match="more than 65536"):
        list(Reader().feed(frame))


def test_data_has_a_largest_size() -> None:
    """Three bytes hold the length."""
    with pytest.raises(ValueError, match="allowed: 16777215"):
        Writer().write(Data(1, bytes(2**24)))
