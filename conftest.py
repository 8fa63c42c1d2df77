"""The composition root: which image name runs which program. Here alone the harness and the demo meet."""

from __future__ import annotations

import sys

import pytest

from harness.images import Build, Image

_CONTEXT = (sys.executable, "-m", "demo_server.image_context")


def pytest_k8s_images(config: pytest.Config) -> list[Image]:  # noqa: ARG001  # the hook's signature
    """The images of manifests/: as local commands on the simulated cluster, built by Docker for kind."""
    return [
        _image("greeter:dev", "server"),
        _image("greeter-client:dev", "client"),
        _image("greeter-gateway:dev", "gateway"),
    ]


def _image(name: str, program: str) -> Image:
    return Image(name, (sys.executable, "-m", f"demo_server.{program}"), Build(_CONTEXT, program))
