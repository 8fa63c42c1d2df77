"""Connections to ClusterIPs by rules of the kernel, between real network namespaces."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from namespaces import needs_namespaces

pytestmark = needs_namespaces
TRIAL = Path(__file__).with_name("kernel_trial.py")
FIRST, SECOND, THIRD = "10.244.0.2", "10.244.0.3", "10.244.0.4"
NODE = "172.18.0.2"


def attempt(name: str) -> Any:
    """What a trial found."""
    found = subprocess.run(
        [sys.executable, str(TRIAL), name], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_each_connection_goes_to_an_endpoint_chosen_at_random() -> None:
    """900 connections spread evenly by a G-test that is wrong once in a million runs; servers see the client's own
    address.
    """
    counts, sources = attempt("spread")
    expected = sum(counts.values()) / 3
    assert set(counts) == {FIRST, SECOND, THIRD}
    assert 2 * sum(count * math.log(count / expected) for count in counts.values()) < 27.63
    assert sources == ["10.244.0.9"]


def test_established_connection_outlives_its_endpoint_and_its_service() -> None:
    """New connections go elsewhere, then are refused; the old one is answered by its endpoint to the end."""
    assert attempt("established") == [FIRST, SECOND, FIRST, "ConnectionRefusedError", FIRST, FIRST]


def test_serving_endpoint_that_leaves_is_used_when_none_is_ready() -> None:
    """As kube-proxy's last resort."""
    assert attempt("last_resort") == SECOND


def test_addresses_that_nobody_has_are_silent() -> None:
    """A cluster IP without a Service, and a pod address without a pod, answer nothing."""
    assert attempt("unallocated") == ["TimeoutError", "TimeoutError"]


def test_pod_reaches_itself_through_its_service() -> None:
    """It answers, and sees the node as the caller, as with a real node's hairpin rule."""
    assert attempt("itself") == [FIRST, NODE]


def test_node_reaches_pods_and_services() -> None:
    """Probes, port-forward and the like come from the node's address."""
    assert attempt("node") == [[FIRST, NODE], [FIRST, NODE]]


def test_session_affinity_keeps_a_client_at_its_endpoint() -> None:
    """One endpoint for one client, others for others; a new one, and only one, when it is gone."""
    assert attempt("affinity") == [1, True, 1, False]


def test_services_carry_datagrams() -> None:
    """UDP spreads over the endpoints, and is refused when there is none."""
    assert attempt("datagrams") == [[FIRST, SECOND, THIRD], "ConnectionRefusedError"]


def test_silent_pod_is_neither_heard_nor_hears_and_then_goes_on() -> None:
    """No answer, no refusal, no reset; the connection from before has its answer when the silence ends."""
    silent = ["TimeoutError"] * 4
    assert attempt("silence") == [FIRST, *silent, SECOND, FIRST, FIRST]


def test_pods_that_come_and_go_leave_no_descriptors() -> None:
    """Twenty pods attached and detached: as many open files as before, within a few."""
    assert attempt("many") is True
