"""Listen addresses."""

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_server.address import ListenAddress, default_address, parse_address


def test_without_pod_ip_the_default_is_loopback() -> None:
    """Nothing listens beyond loopback unless asked."""
    assert default_address({}, 50051) == ListenAddress("127.0.0.1", 50051)
    assert default_address({"POD_IP": ""}, 50051) == ListenAddress("127.0.0.1", 50051)


def test_pod_ip_is_the_default_in_a_pod() -> None:
    """In a pod, the default is the pod's own address, not every address."""
    assert default_address({"POD_IP": "10.244.0.7"}, 50051) == ListenAddress("10.244.0.7", 50051)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_what_is_written_is_read(host: object, port: int) -> None:
    """The text of an address reads back as the same address, IPv6 in brackets."""
    address = ListenAddress(str(host), port)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", ["50051", "localhost:50051", "::1:50051", "[127.0.0.1]:1", ":1", "10.0.0.1"])
def test_what_is_no_address_is_refused_in_words(text: str) -> None:
    """A host name, a bare port or an IPv6 address without brackets is named, with what is allowed."""
    with pytest.raises(argparse.ArgumentTypeError) as refusal:
        parse_address(text)
    expected = f'"{text}" is not a listen address; give IP:PORT, such as 127.0.0.1:50051 or [::1]:50051'
    assert str(refusal.value) == expected


@pytest.mark.parametrize("port", ["", "x", "65536", "-1", "²"])
def test_what_is_no_port_is_refused_in_words(port: str) -> None:
    """A port that is no number or too large is named, with what is allowed."""
    with pytest.raises(argparse.ArgumentTypeError) as refusal:
        parse_address(f"127.0.0.1:{port}")
    assert (
        str(refusal.value) == f'"{port}" in "127.0.0.1:{port}" is not a port; give a number from 0 to 65535'
    )
