"""The text of the kernel's rules, and what a real nft makes of it."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from namespaces import needs_namespaces

from simcluster.network.routes import Route
from simcluster.network.rules import render_base, render_change, render_silence

PODS = tuple((f"10.244.0.{number}", 50051) for number in range(2, 5))
GREETER = Route("shop", "greeter", "10.96.0.5", 80, PODS[:2])
ROUTES = st.lists(
    st.builds(
        Route, st.just("d"), st.just("s"), st.sampled_from(["10.96.0.5", "10.96.0.6"]), st.sampled_from([80, 81]),
        st.lists(st.sampled_from(PODS), unique=True).map(lambda each: tuple(sorted(each))),
        st.sampled_from(["TCP", "UDP"]), st.sampled_from([None, 60, 10800]),
    ),
    max_size=4, unique_by=lambda route: route.name,
)  # fmt: skip


def named(*routes: Route) -> dict[str, Route]:
    return {route.name: route for route in routes}


def test_nothing_changed_is_nothing_to_load() -> None:
    """Equal routes, whatever they are, make no rules."""
    assert render_change(named(GREETER), named(replace(GREETER))) == ""


def test_only_the_route_that_changed_is_rewritten() -> None:
    """A change of one Service mentions no other."""
    other = replace(GREETER, address="10.96.0.6")
    text = render_change(named(GREETER, other), named(replace(GREETER, backends=PODS), other))
    assert "10.96.0.5" in text
    assert "10.96.0.6" not in text


def test_service_that_loses_its_last_endpoint_is_refused() -> None:
    """Its rules go, and its address and port are among those that are refused."""
    text = render_change(named(GREETER), named(replace(GREETER, backends=())))
    assert text.splitlines() == [
        "delete element ip simcluster services { 10.96.0.5 . tcp . 80 }",
        "add element ip simcluster refused { 10.96.0.5 . tcp . 80 }",
        "delete chain ip simcluster tcp-10.96.0.5-80",
    ]


def test_users_names_are_in_no_rule() -> None:
    """What a user calls a Service can not become a rule."""
    evil = replace(GREETER, service="x } ; flush ruleset", namespace="y ;")
    assert "flush ruleset" not in render_change({}, named(evil))


def test_silence_names_the_addresses() -> None:
    """One line for all of them."""
    text = render_silence({"10.244.0.3", "10.244.0.2"}, is_silent=True)
    assert text == "add element ip simcluster silent { 10.244.0.2, 10.244.0.3 }\n"


LOAD = """
import json, subprocess, sys
from simcluster.kubelet import rooms
from simcluster.network.fabric import find_nft, run_nft
try:
    rooms.unshare(rooms.NEW_NETWORK)
except PermissionError:
    rooms.own_users(uid=0, gid=0)
    rooms.unshare(rooms.NEW_NETWORK)
shown = []
for texts in json.load(sys.stdin):
    for text in texts:
        run_nft(text)
    command = [find_nft(), "-j", "list", "ruleset"]
    shown.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["nftables"])
print(json.dumps(shown))
"""


def load(*runs: list[str]) -> list[list[dict[str, object]]]:
    """The rules after each run of texts, in a namespace of their own; AssertionError if nft refuses one."""
    found = subprocess.run(
        [sys.executable, "-c", LOAD], input=json.dumps(runs), capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    loaded: list[list[dict[str, object]]] = json.loads(found.stdout)
    return loaded


def meaning(rules: list[dict[str, object]]) -> list[str]:
    """The rules without their handles and the hairpin set, which only grows, in an order of their own."""
    shown = []
    for each in rules:
        text = json.dumps(each, sort_keys=True)
        if '"hairpin"' not in text and '"metainfo"' not in text:
            shown.append(json.dumps(_strip(each), sort_keys=True))
    return sorted(shown)


def _strip(value: object) -> object:
    if isinstance(value, dict):
        return {key: _strip(each) for key, each in value.items() if key not in ("handle", "index")}
    if isinstance(value, list):
        stripped = [_strip(each) for each in value]
        return sorted(stripped, key=lambda each: json.dumps(each, sort_keys=True))
    return value


@needs_namespaces
@settings(max_examples=15, deadline=None)
@given(st.lists(ROUTES, min_size=1, max_size=4))
def test_changes_one_after_the_other_come_to_the_same_as_a_fresh_start(steps: list[list[Route]]) -> None:
    """Through any history, the kernel holds the rules of the last state and no others."""
    states = [{}, *(named(*each) for each in steps)]
    changes = [render_change(before, after) for before, after in pairwise(states)]
    stepwise, fresh = load(
        [render_base(), *(text for text in changes if text)], [render_base() + render_change({}, states[-1])]
    )
    assert meaning(stepwise) == meaning(fresh)


@needs_namespaces
def test_rules_that_are_wrong_are_refused() -> None:
    """Negative control: what nft does not understand fails."""
    with pytest.raises(AssertionError, match="nft: "):
        load(["add rule ip simcluster nowhere accept\n"])
