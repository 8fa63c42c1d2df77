"""Objects to write, and the surroundings of a registry under test."""

from __future__ import annotations

from typing import Any

import pytest

from simcluster.errors import (
    Invalid,
)
from simcluster.schema import load

CATALOGUE = load()
NOW = 1_764_000_000.7
NOW_TEXT = "2025-11-24T16:00:00Z"
DEPLOYMENTS = "deployments.apps"


class Clock:
    """An instant that the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Pool:
    """The smallest giver of addresses."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def allocate(self, wanted: str | None) -> str:
        chosen = wanted if wanted is not None else f"127.1.0.{len(self.taken) + 1}"
        if chosen in self.taken:
            raise ValueError("provided IP is already allocated")
        self.taken.add(chosen)
        return chosen

    def release(self, address: str) -> None:
        self.taken.remove(address)


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}


def deployment(name: str = "d", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod()["spec"]}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template, **spec},
    }


def causes(error: pytest.ExceptionInfo[Invalid]) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in error.value.causes]


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}
