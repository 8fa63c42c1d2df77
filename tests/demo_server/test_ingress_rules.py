"""Ingress objects read into rules."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_server.ingress_rules import Backend, Rule, Rules, Termination, read_rules

GRPC = Backend("greeter", "grpc", None)


def make_backend(service: str = "greeter", **port: Any) -> dict[str, Any]:
    return {"service": {"name": service, "port": port if port else {"name": "grpc"}}}


def make_ingress(
    name: str = "greeter",
    *,
    host: str = "greeter.example.test",
    secret: str = "greeter-tls",
    path: str = "/",
    kind: str = "Prefix",
    backend: dict[str, Any] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    **changes: Any,
) -> dict[str, Any]:
    spec = {
        "ingressClassName": "kube-grpc",
        "tls": [{"hosts": [host], "secretName": secret}],
        "rules": [
            {
                "host": host,
                "http": {"paths": [{"path": path, "pathType": kind, "backend": backend or make_backend()}]},
            }
        ],
    }
    metadata = {
        "name": name,
        "creationTimestamp": created,
        "annotations": {"kube-grpc.dev/certificate": "self-signed"},
    }
    return {"metadata": metadata, "spec": {**spec, **changes}}


def test_the_manifest_of_this_project() -> None:
    """Host, path, backend port by name, certificate and the wish for a self-signed one."""
    assert read_rules([make_ingress()], "kube-grpc") == Rules(
        (Rule("greeter.example.test", "/", False, GRPC),),
        (Termination("greeter-tls", ("greeter.example.test",), True),),
    )


def test_other_class_is_not_ours() -> None:
    """Negative control: an Ingress of another class, or of none, is served by others and is no problem of ours."""
    others = [make_ingress(ingressClassName="nginx"), make_ingress(ingressClassName=None)]
    assert read_rules(others, "kube-grpc") == Rules()


def test_older_ingress_wins() -> None:
    """Of two Ingresses with one host and path the older one is served and the other is told, in either order."""
    old = make_ingress("z-old", created="2025-01-01T00:00:00Z")
    new = make_ingress("a-new", created="2026-01-01T00:00:00Z", backend=make_backend("other"))
    for order in ([old, new], [new, old]):
        rules = read_rules(order, "kube-grpc")
        assert [rule.backend.service for rule in rules.rules] == ["greeter"]
        assert rules.problems == (
            "Ingress a-new: host greeter.example.test, path / is taken by an older Ingress; that one is served",
        )


def test_one_host_has_one_certificate() -> None:
    """Two Secrets for one host would be a listener that Envoy refuses as a whole: the older Ingress's is served."""
    old = make_ingress("old", created="2025-01-01T00:00:00Z", secret="one")
    new = make_ingress("new", created="2026-01-01T00:00:00Z", secret="two", path="/b")
    rules = read_rules([new, old], "kube-grpc")
    assert rules.terminations == (Termination("one", ("greeter.example.test",), True),)
    assert rules.problems == (
        "Ingress new: host greeter.example.test is served with Secret one of an older Ingress",
    )


def test_two_ingresses_share_a_secret() -> None:
    """The hosts of one Secret come together, each once."""
    both = [make_ingress("a"), make_ingress("b", host="b.example.test"), make_ingress("c", path="/c")]
    (termination,) = read_rules(both, "kube-grpc").terminations
    assert termination.hosts == ("greeter.example.test", "b.example.test")


def test_default_backend_is_for_any_host() -> None:
    """`defaultBackend` is a rule for any host and path."""
    rules = read_rules([make_ingress(defaultBackend=make_backend("other", number=80))], "kube-grpc").rules
    assert rules[-1] == Rule(None, "/", False, Backend("other", None, 80))


def test_tls_without_hosts_takes_those_of_the_rules() -> None:
    """As Kubernetes says: hosts that are left out are those of the rules."""
    rules = read_rules([make_ingress(tls=[{"secretName": "greeter-tls"}])], "kube-grpc")
    assert rules.terminations[0].hosts == ("greeter.example.test",)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tls": []}, "has no tls section with a secretName; only TLS is served, so nothing of it is"),
        ({"secret": "../etc"}, 'tls secretName "../etc" is not the name of a Secret'),
        ({"tls": [{"hosts": ["a b"], "secretName": "s"}]}, 'tls of Secret s host "a b" is not a DNS name'),
        ({"tls": [{"secretName": "s"}], "rules": []}, "tls of Secret s names no host"),
        ({"path": "/a?b"}, 'path "/a?b" is not a path; it begins with / and has no query'),
        ({"path": "a"}, 'path "a" is not a path; it begins with / and has no query'),
        ({"backend": {"resource": {"kind": "Bucket"}}}, "a backend that is not a Service can not be served"),
        ({"backend": make_backend("../x")}, 'backend "../x" is not the name of a Service'),
        ({"backend": make_backend(name="../x")}, 'backend port "../x" is not the name of a port'),
        ({"backend": make_backend(name="")}, "backend greeter has neither a port name nor a port number"),
    ],
)
def test_what_can_not_be_served_is_said(changes: dict[str, Any], problem: str) -> None:
    """Each mistake is told in words with the Ingress's name, and does not stop another Ingress from being served."""
    good = make_ingress("good", host="good.example.test", secret="good-tls")
    rules = read_rules([make_ingress("bad", **changes), good], "kube-grpc")
    assert f"Ingress bad: {problem}" in rules.problems
    assert [rule.host for rule in rules.rules] == ["good.example.test"]


@given(st.permutations([make_ingress(f"i{n}", host=f"h{n % 3}.test", path=f"/{n % 2}") for n in range(6)]))
def test_order_does_not_matter(ingresses: list[dict[str, Any]]) -> None:
    """Whatever order the API lists them in, the same rules come out."""
    assert read_rules(ingresses, "kube-grpc") == read_rules(sorted(ingresses, key=str), "kube-grpc")
