"""What a scenario says: variants, load, steps, expectations.

Frozen values, and what follows from them alone.

Rule: a value here is complete and valid (the reader made it so); numbers are in seconds and calls a second.
No files, no cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.scenario.expectations import Expectation
from harness.scenario.steps import Step

FIRST_PHASE = "start"


@dataclass(frozen=True, slots=True)
class Target:
    """What the steps act on unless they say otherwise.

    And the Service whose endpoints say when a pod is ready.
    """

    deployment: str = "greeter"
    service: str = "greeter-clusterip"
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """The cluster that a scenario needs: so many `nodes` that take pods, and, if simulated, which `network`.

    On several nodes, the pods of the target share none with a client (`placement`). None is whatever the run has.
    """

    nodes: int = 1
    network: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """Open-loop load: each of `clients` pods of a variant sends `rate` calls a second, each with a deadline.

    Nothing is counted until each client has had `warm_up` answered calls.
    """

    rate: float = 25.0
    clients: int = 1
    deadline_s: float = 1.0
    warm_up: int = 10


@dataclass(frozen=True, slots=True)
class Variant:
    """One way from a client to the pods. `note` stands beside its name wherever it is printed."""

    name: str
    env: tuple[tuple[str, str], ...] = ()
    note: str | None = None

    @property
    def label(self) -> str:
        """The name with its note."""
        return self.name if self.note is None else f"{self.name} ({self.note})"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. `path` is where it was read from, `manifests` the folder whose kustomization is deployed."""

    name: str
    path: Path
    text: str
    about: str
    marks: tuple[str, ...]
    manifests: Path
    seed: str
    cluster: Shape
    target: Target
    load: Load
    variants: tuple[Variant, ...]
    steps: tuple[Step, ...]
    expectations: tuple[Expectation, ...]

    def only(self, names: Iterable[str]) -> Scenario:
        """The scenario with these variants alone, and what is expected of them."""
        kept = set(names)
        return replace(
            self,
            variants=tuple(variant for variant in self.variants if variant.name in kept),
            expectations=tuple(
                expectation for expectation in self.expectations if expectation.variant in kept
            ),
        )

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the phases, in order."""
        return (FIRST_PHASE, *(step.phase for step in self.steps if step.phase is not None))
