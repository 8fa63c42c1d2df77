"""The table of delays."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from simcluster import profile


@pytest.mark.parametrize("table", profile.PROFILES.values(), ids=lambda table: table.name)
def test_every_delay_is_in_seconds_and_never_negative(table: profile.Profile) -> None:
    """A field either is the name or ends in _s and holds a float of at least zero."""
    for field in fields(table):
        if field.name != "name":
            assert field.name.endswith("_s")
            assert isinstance(getattr(table, field.name), float)
            assert getattr(table, field.name) >= 0.0


def test_fast_never_waits_longer_than_faithful() -> None:
    """No delay of `fast` is longer than the same delay of `faithful`."""
    for field in fields(profile.Profile):
        if field.name != "name":
            assert getattr(profile.FAST, field.name) <= getattr(profile.FAITHFUL, field.name)


def test_fast_keeps_both_sides_of_the_termination_race_open() -> None:
    """Neither the endpoint's removal nor SIGTERM comes first by construction, in either profile."""
    for table in profile.PROFILES.values():
        assert table.endpoint_not_ready_s < table.sigterm_s + table.sigterm_jitter_s
        assert table.sigterm_s < table.endpoint_not_ready_s + table.endpoint_not_ready_jitter_s


def test_a_profile_cannot_be_changed() -> None:
    """The table is frozen."""
    with pytest.raises(FrozenInstanceError):
        profile.FAST.dns_ttl_s = 1.0  # type: ignore[misc]


def test_choosing_by_name() -> None:
    """`choose` gives the profile of that name."""
    assert profile.choose("faithful") is profile.FAITHFUL


def test_an_unknown_profile_names_the_known_ones() -> None:
    """The error says what was asked for and what is allowed."""
    with pytest.raises(ValueError, match=r'^unknown profile "slow"\n  known profiles: faithful, fast$'):
        profile.choose("slow")
