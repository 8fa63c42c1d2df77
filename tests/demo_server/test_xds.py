"""Envoy's files from rules, endpoints and certificates."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_server.address import ListenAddress
from demo_server.backends import Address
from demo_server.ingress_rules import Backend, Rule, Rules, Termination
from demo_server.xds import make_bootstrap, render_files
from demo_server.xds_resources import Certificate, make_routes

LISTEN = ListenAddress("127.0.0.1", 8443)
GRPC = Backend("greeter", "grpc", None)
OTHER = Backend("other", None, 80)
HOST = "greeter.example.test"
PAIR = Certificate("chain", "key")
RULES = Rules(
    (Rule(HOST, "/", False, GRPC), Rule(HOST, "/a/", False, OTHER), Rule(HOST, "/a", True, GRPC)),
    (Termination("greeter-tls", (HOST,), True),),
)


def render(
    rules: Rules = RULES,
    endpoints: dict[Backend, tuple[Address, ...]] | None = None,
    certificates: dict[str, Certificate] | None = None,
) -> dict[str, Any]:
    found = {} if endpoints is None else endpoints
    pairs = {"greeter-tls": PAIR} if certificates is None else certificates
    return {name: json.loads(text) for name, text in render_files(rules, found, pairs, LISTEN).items()}


def routes_of(rules: Rules = RULES) -> list[dict[str, Any]]:
    return list(make_routes(rules.rules)["virtual_hosts"])


def test_what_is_referred_to_is_written_first() -> None:
    """Endpoints and certificates come before clusters, clusters before routes, routes before the listener."""
    assert list(render()) == [
        "eds-greeter_grpc.json",
        "eds-other_80.json",
        "sds-greeter-tls.json",
        "cds.json",
        "rds.json",
        "lds.json",
    ]


def test_a_pod_that_comes_changes_one_file() -> None:
    """A new endpoint touches its cluster's endpoints and nothing else, so no route or connection is disturbed."""
    before = render(endpoints={GRPC: (("10.0.0.1", 1),)})
    after = render(endpoints={GRPC: (("10.0.0.1", 1), ("10.0.0.2", 1))})
    assert [name for name in before if before[name] != after[name]] == ["eds-greeter_grpc.json"]


def test_a_new_certificate_changes_one_file() -> None:
    """A renewed certificate touches its own file only."""
    after = render(certificates={"greeter-tls": Certificate("new", "key")})
    assert [name for name, content in render().items() if content != after[name]] == ["sds-greeter-tls.json"]


def test_without_its_certificate_a_host_is_not_served() -> None:
    """Until the Secret is there, there is no listener; everything else is prepared."""
    files = render(certificates={})
    assert files["lds.json"]["resources"] == []
    assert "sds-greeter-tls.json" not in files
    assert files["cds.json"]["resources"]


@given(
    st.dictionaries(
        st.sampled_from([GRPC, OTHER]),
        st.lists(st.tuples(st.ip_addresses(v=4).map(str), st.integers(1, 65535)), max_size=5).map(tuple),
    )
)
def test_every_endpoint_is_in_its_cluster(endpoints: dict[Backend, tuple[Address, ...]]) -> None:
    """Each cluster of the routes exists, and has exactly the addresses that were given for it."""
    files = render(endpoints=endpoints)
    clusters = {each["name"]: each for each in files["cds.json"]["resources"]}
    used = {route["route"]["cluster"] for host in routes_of() for route in host["routes"]}
    assert used == set(clusters)
    for backend in RULES.backends:
        (assignment,) = files[f"eds-{'greeter_grpc' if backend == GRPC else 'other_80'}.json"]["resources"]
        assert assignment["cluster_name"] in clusters
        found = [
            each["endpoint"]["address"]["socket_address"]
            for each in assignment["endpoints"][0]["lb_endpoints"]
        ]
        assert [(each["address"], each["port_value"]) for each in found] == list(endpoints.get(backend, ()))


@given(st.permutations(RULES.rules))
def test_order_of_rules_does_not_matter(rules: list[Rule]) -> None:
    """The same rules in another order are the same routes: an update changes a file only when its meaning changes."""
    assert make_routes(rules) == make_routes(RULES.rules)


def test_longest_path_wins_and_exact_before_prefix() -> None:
    """As Kubernetes says: the longest match wins, an exact one before a prefix; /a does not fit /ab."""
    (host,) = routes_of()
    assert [route["match"] for route in host["routes"]] == [
        {"path": "/a"},
        {"path_separated_prefix": "/a"},
        {"prefix": "/"},
    ]


def test_star_of_a_host_is_one_label() -> None:
    """*.example.test fits a.example.test and not a.b.example.test, as in Kubernetes and unlike in Envoy."""
    (host,) = routes_of(Rules((Rule("*.example.test", "/", False, GRPC),)))
    assert host["domains"] == ["*.example.test"]
    regex = host["routes"][0]["match"]["headers"][0]["string_match"]["safe_regex"]["regex"]
    assert re.fullmatch(regex, "a.example.test")
    assert not re.fullmatch(regex, "a.b.example.test")
    assert not re.fullmatch(regex, "a.exampleXtest")


def test_only_calls_that_reached_no_pod_are_repeated() -> None:
    """One retry, on another endpoint, and only where the call can not have run."""
    for host in routes_of():
        for route in host["routes"]:
            policy = route["route"]["retry_policy"]
            assert (policy["retry_on"], policy["num_retries"]) == ("connect-failure,refused-stream", 1)
            assert policy["retry_host_predicate"]


def test_version_follows_the_content() -> None:
    """Envoy is told a new version exactly when the content is new."""
    one, same, other = render(), render(), render(endpoints={GRPC: (("10.0.0.1", 1),)})
    assert one == same
    assert one["eds-greeter_grpc.json"]["version_info"] != other["eds-greeter_grpc.json"]["version_info"]


def test_admin_interface_is_no_port() -> None:
    """The bootstrap's admin address is a socket file that only its owner may use."""
    admin = json.loads(make_bootstrap("admin.sock"))["admin"]["address"]
    assert admin == {"pipe": {"path": "admin.sock", "mode": 0o600}}


def test_key_is_not_in_a_representation() -> None:
    """A certificate that ends up in a log or traceback does not show its key."""
    assert "key" not in repr(PAIR).replace("Certificate", "")
    with pytest.raises(AssertionError):
        assert "chain" not in repr(PAIR)
