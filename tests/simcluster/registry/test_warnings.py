"""Warnings: what decides whether there is one. tests/conformance has the texts."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from pathlib import PurePosixPath
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from registry_objects import CATALOGUE, deployment, pod

from simcluster.apiserver.calls import select_told
from simcluster.errors import StatusError
from simcluster.registry import Registry, WriteOptions
from simcluster.registry.address_warnings import warn_of_address, warn_of_network
from simcluster.registry.key_warnings import warn_of_pair
from simcluster.registry.path_warnings import find_warnings as warn_of_paths
from simcluster.registry.pod_warnings import find_warnings as warn_of_pod
from simcluster.registry.warnings import tell

Object = dict[str, Any]
TEXTS = st.text(st.characters(codec="ascii", categories=("L", "N", "Zs")), min_size=1, max_size=400)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(TEXTS, max_size=60))
def test_what_is_told(warnings: list[str]) -> None:
    """Each once and in order; whole while there is room, else the beginning of each until it is used up."""
    told = select_told(warnings)
    every = list(dict.fromkeys(warnings))
    if sum(map(len, every)) <= 4096:
        assert told == every
    else:
        assert told == [text[:256] for text in every[: len(told)]]
        assert sum(map(len, told)) < 4096 + 256
        assert len(told) == len(every) or sum(map(len, told)) >= 4096


def test_control_characters_are_not_told() -> None:
    """A warning that no header can carry is left out, and no other."""
    assert select_told(["a\nb", "c"]) == ["c"]


PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map("/".join)


@settings(deadline=None)
@given(st.lists(PATHS, max_size=5))
def test_overlapping_paths(paths: list[str]) -> None:
    """There is a warning for each two of which one is the other, or lies in it."""
    volume = {
        "name": "v",
        "configMap": {"name": "c", "items": [{"key": "k", "path": each} for each in paths]},
    }
    pairs = [(PurePosixPath(one), PurePosixPath(other)) for n, one in enumerate(paths) for other in paths[:n]]
    expected = sum(one.is_relative_to(other) or other.is_relative_to(one) for one, other in pairs)
    assert len(warn_of_paths([volume])) == expected


@given(st.integers(2**32, 2**128 - 1).map(ipaddress.IPv6Address))
def test_odd_addresses(address: ipaddress.IPv6Address) -> None:
    """The usual form of an address is not odd; another form is, and the usual one is named."""
    if address.ipv4_mapped is not None:
        return
    assert warn_of_address(str(address), "at") == []
    for other in {address.exploded, str(address).upper()} - {str(address)}:
        [text] = warn_of_address(other, "at")
        assert text == f'at: IPv6 address "{other}" should be in RFC 5952 canonical format ("{address}")'


def test_odd_networks() -> None:
    """Bits after the prefix are ambiguous; what is no network at all is not odd but wrong, which others say."""
    [text] = warn_of_network("10.0.0.1/24", "at")
    assert text == (
        'at: CIDR value "10.0.0.1/24" is ambiguous in this context (should be "10.0.0.0/24" or "10.0.0.1/32"?)'
    )
    assert (
        warn_of_network("10.0.0.0/24", "at") == warn_of_network("x", "at") == warn_of_address("", "at") == []
    )


def pair() -> tuple[str, str]:
    """A certificate and its key, as they stand in a Secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    begin = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begin)
    certificate = builder.not_valid_after(begin + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both = (certificate.public_bytes(encoding), secret)
    return base64.b64encode(both[0]).decode(), base64.b64encode(both[1]).decode()


def test_pairs_of_certificate_and_key() -> None:
    """A pair is not odd; the key of another certificate is."""
    (certificate, key), (_, other) = pair(), pair()
    assert warn_of_pair(certificate, key) == []
    assert warn_of_pair(certificate, other) == ["tls: private key does not match public key"]


AFFINITY = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}}


def test_the_place_of_a_template() -> None:
    """A template is looked at like a pod, and named by its place."""
    spec = {"affinity": AFFINITY}
    [of_pod], [of_template] = warn_of_pod(spec, {}, ""), warn_of_pod(spec, {}, "spec.template")
    assert of_template == f"spec.template.{of_pod}"


def test_who_does_not_listen_pays_nothing(registry: Registry) -> None:
    """Warnings go to who asks for them; what is stored is the same."""
    heard: list[str] = []
    wanted = deployment("a.b")
    registry.create("deployments.apps", "default", wanted, options=WriteOptions(warn=heard.append))
    assert len(heard) == 1
    assert not registry.usual.is_heard
    registry.create("pods", "default", pod("c.d"))
    assert len(heard) == 1


@pytest.mark.parametrize(("minor", "number"), [(35, 0), (36, 1)])
def test_what_a_minor_deprecates(minor: int, number: int) -> None:
    """What became deprecated later is nothing odd before."""
    heard: list[str] = []
    options = WriteOptions(warn=heard.append)
    obj = {"metadata": {}, "spec": {"type": "ClusterIP", "externalIPs": ["192.0.2.1"]}}
    tell("services", obj, None, None, options, minor)
    assert len(heard) == number


@pytest.mark.parametrize("resource", sorted(each.name for each in CATALOGUE if each.stored))
def test_objects_that_say_next_to_nothing(registry: Registry, resource: str) -> None:
    """Whatever is left out of an object: it is taken or refused, with no other end."""
    kind = registry.resource(resource)
    namespace = "default" if kind.namespaced else None
    for more in (
        {},
        {"spec": {}},
        {"spec": {}, "template": {}},
        {"spec": {"template": {}}},
        {"type": "kubernetes.io/tls"},
    ):
        for status in (None, {}):
            body = {"metadata": {"name": "a"}} | more
            options = WriteOptions(field_validation="Ignore", warn=lambda _text: None)
            try:
                made = registry.create(resource, namespace, body, options=options)
                registry.update(resource, namespace, "a", made | {"status": status or {}}, options=options)
            except StatusError:
                continue
