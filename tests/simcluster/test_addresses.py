"""Blocks of addresses, and what is given out of them."""

import ipaddress
import os
import random
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simcluster
from simcluster.network.addresses import (
    Block,
    NoBlockFree,
    Pool,
    claim_block,
    pod_cidr,
    pod_pool,
    service_pool,
)


def test_ten_clusters_have_ten_blocks() -> None:
    """Claims that begin at the same block still do not meet."""
    blocks = [claim_block(random.Random(7)) for _ in range(10)]
    numbers = [block.number for block in blocks]
    for block in blocks:
        block.close()
    assert len(set(numbers)) == 10
    assert all(16 <= number <= 254 for number in numbers)


def test_claim_of_another_process_is_kept_and_vanishes_with_it() -> None:
    """A block held by another process is not given out; after kill -9 of it, it is free again."""
    code = (
        "import random, sys; from simcluster.network.addresses import claim_block; b = claim_block(random.Random(7));"
        "print(b.number, flush=True); sys.stdin.read()"
    )
    root = str(Path(simcluster.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root},
    ) as other:
        assert other.stdout is not None
        taken = int(other.stdout.readline())
        mine = claim_block(random.Random(7))
        other.kill()
    again = claim_block(random.Random(7))
    numbers = (mine.number, again.number)
    mine.close()
    again.close()
    assert numbers[0] != taken
    assert numbers[1] == taken


def test_machine_full_of_clusters_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every block held, the message names the range and what to do."""
    monkeypatch.setattr("simcluster.network.addresses.FIRST_BLOCK", 200)
    monkeypatch.setattr("simcluster.network.addresses.LAST_BLOCK", 201)
    blocks = [claim_block(random.Random(1)) for _ in range(2)]
    with pytest.raises(NoBlockFree) as failure:
        claim_block(random.Random(1))
    for block in blocks:
        block.close()
    assert str(failure.value) == (
        "all 2 address blocks 127.200.0.0/16 to 127.201.0.0/16 are held by running simulated clusters of this machine\n"
        "  stop one: each is a process `python -m simcluster up`"
    )


def test_pods_and_services_have_their_own_ranges() -> None:
    """The layout is that of the module's docstring, so that nothing meets the cluster's own addresses."""
    block = claim_block(random.Random(3))
    block.close()
    assert pod_pool(block).allocate() == f"127.{block.number}.128.1"
    assert service_pool(block).allocate() == f"127.{block.number}.1.1"
    assert service_pool(block).allocate(f"127.{block.number}.63.254")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("127.20.1.1", "provided IP is already allocated"),
        (
            "10.96.0.1",
            "the provided IP is not in the valid range. The range of valid IPs is 127.20.1.0 to 127.20.1.255",
        ),
        (
            "127.20.1.0",
            "the provided IP is not in the valid range. The range of valid IPs is 127.20.1.0 to 127.20.1.255",
        ),
        ("nonsense", '"nonsense" is not an IPv4 address'),
    ],
)
def test_wanted_address_that_can_not_be_had(wanted: str, message: str) -> None:
    """A refusal says why, in the words of the API server's allocator."""
    pool = Pool(["127.20.1"])
    pool.allocate()
    with pytest.raises(ValueError) as failure:  # noqa: PT011 -- the message is the point
        pool.allocate(wanted)
    assert str(failure.value) == message


def test_pool_without_addresses_says_so() -> None:
    """The message names the range; a released address helps."""
    pool = Pool(["127.20.1"])
    held = [pool.allocate() for _ in range(254)]
    with pytest.raises(ValueError, match=r"no address left in 127\.20\.1\.0 to 127\.20\.1\.255"):
        pool.allocate()
    pool.release(held[3])
    assert pool.allocate() == held[3]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.one_of(st.none(), st.integers(0, 300), st.integers(1, 254).map(str)), max_size=120))
def test_no_address_has_two_holders_and_none_is_reused_early(steps: list[int | str | None]) -> None:
    """Over any history of allocations, wishes and releases: unique holders, and fresh addresses before used
    ones.
    """
    pool = Pool(["127.20.1"])
    held: list[str] = []
    used: set[str] = set()
    for step in steps:
        if isinstance(step, int):
            if held:
                pool.release(held.pop(step % len(held)))
            continue
        wanted = None if step is None else f"127.20.1.{step}"
        if wanted in held:
            continue
        address = pool.allocate(wanted)
        assert address not in held
        if wanted is None and len(used) < 100:
            assert address not in used
        held.append(address)
        used.add(address)


@given(count=st.integers(1, 128))
def test_nodes_have_ranges_of_their_own(count: int) -> None:
    """The pods of any number of nodes get addresses from their node's CIDR, and no two CIDRs or nodes overlap."""
    with socket.socket() as claim:
        block = Block(20, claim)
        networks = [ipaddress.ip_network(pod_cidr(block, index, count)) for index in range(count)]
        for index, network in enumerate(networks):
            assert ipaddress.ip_address(pod_pool(block, index, count).allocate()) in network
        addresses = {ipaddress.ip_address(block.node_address(index)) for index in range(count)}
    networks.sort()
    assert not any(one.overlaps(other) for one, other in pairwise(networks))
    assert len(addresses) == count
    assert not any(address in network for address in addresses for network in networks)


def test_more_nodes_than_fit_are_refused() -> None:
    """The message says how many fit, and what needs no room."""
    with (
        socket.socket() as claim,
        pytest.raises(ValueError, match=r"room for the pods of 128\n.*status-only"),
    ):
        pod_pool(Block(20, claim), 0, 129)
