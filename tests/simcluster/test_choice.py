"""Which network a cluster gets, and why."""

import pytest

from simcluster.network import choice, fabric
from simcluster.network.choice import Choice, NetworkUnavailable, choose


@pytest.fixture
def obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the program nft."""
    monkeypatch.setattr(fabric, "find_nft", lambda: None)


def test_loopback_is_taken_as_asked(obstacle: None) -> None:
    """Nothing is tried for it."""
    assert choose("loopback") == Choice("loopback", "pods share this machine's network")


def test_auto_without_nft_takes_loopback_and_says_why(obstacle: None) -> None:
    """The reason names what is missing."""
    assert choose("auto") == Choice(
        "loopback", "auto: no namespaces (the program nft is not installed (package nftables))"
    )


def test_namespaces_that_can_not_be_had_are_refused(obstacle: None) -> None:
    """Who asks by name does not get another network."""
    with pytest.raises(
        NetworkUnavailable, match=r"can not be had here: the program nft .*\n  take --network loop"
    ):
        choose("namespace")


def test_what_fails_in_the_trial_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that refuses namespaces is found out, in a process of its own."""

    def refuse() -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr(fabric, "find_nft", lambda: "/usr/sbin/nft")
    monkeypatch.setattr(fabric, "enter", refuse)
    assert choose("auto").reason == "auto: no namespaces ([Errno 1] unshare: Operation not permitted)"


def test_unknown_network() -> None:
    """The known ones are named."""
    with pytest.raises(
        ValueError, match='unknown network "vpn"\n  known networks: auto, loopback, namespace'
    ):
        choice.check("vpn")
