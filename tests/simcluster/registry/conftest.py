"""A registry with the namespace `default`, a clock that stands still and a pool of addresses."""

from __future__ import annotations

import random

import pytest
from registry_objects import CATALOGUE, Clock, Pool

from simcluster.registry import Registry


@pytest.fixture
def clock() -> Clock:
    """The registry's clock."""
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Registry:
    """A registry with the namespace `default`."""
    made = Registry(CATALOGUE, clock=clock, chance=random.Random(1), addresses=Pool())
    made.create("namespaces", None, {"metadata": {"name": "default"}})
    return made
