"""A registry with its surroundings, as the assembled cluster has them, for tests of its parts."""

import asyncio
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simcluster.controllers.informers import Informers
from simcluster.controllers.loop import Context
from simcluster.profile import FAST, Profile
from simcluster.registry import Registry
from simcluster.schema import load

# What tests share lies beside them; in pytest's importlib mode no folder of tests is on the path by itself.
_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), *(str(folder) for folder in _HERE.iterdir() if folder.is_dir())]

MakeContext = Callable[..., Context]


@pytest.fixture
def make_context() -> MakeContext:
    """A function that makes a context inside a running event loop; `namespaces` are created."""

    def make(
        profile: Profile = FAST, namespaces: tuple[str, ...] = ("default",), addresses: Any = None
    ) -> Context:
        rng = random.Random(1)
        registry = Registry(load(), clock=time.time, chance=rng, addresses=addresses)
        for name in namespaces:
            registry.create(
                "namespaces", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )
        loop = asyncio.get_running_loop()
        return Context(registry, Informers(registry), profile, rng, time.time, loop.call_later)

    return make
