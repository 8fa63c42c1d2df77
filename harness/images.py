"""The images that a scenario's pods use, as the composition root names them.

Rule: an image says how it is run on the simulated cluster (a command) and how it is built for a real one (a
prepared folder with a Dockerfile); which of the two is used is the cluster's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Build:
    """`prepare` is a command that.

    Given a folder as its last argument, fills it with a Dockerfile and all it needs.

    `target` is the stage of the Dockerfile; None builds the last. Images with the same `prepare` share the
    folder.
    """

    prepare: tuple[str, ...]
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A name such as `greeter:dev`.

    `command` runs it on the simulated cluster, `build` makes it for a real one.

    Either may be None where that kind of cluster is not used.
    """

    name: str
    command: Sequence[str] | None = None
    build: Build | None = None
