"""Kind was asked for, and what it needs is not there: told before anything that takes long."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.clusters.kind import KindCluster
from harness.clusters.leases import folder, open_lease
from harness.errors import ClusterError
from harness.images import Build, Image


def start(path: Path) -> tuple[str, list[str]]:
    """Why a cluster with an image of its own does not start, and what was done before that was found."""
    marks = path / "prepared"
    image = Image("shop:dev", build=Build((sys.executable, "-c", f"open({str(marks)!r}, 'w')")))
    lease, said = open_lease(folder()), list[str]()
    try:
        with pytest.raises(ClusterError) as refused:
            KindCluster(None, lease).start([image], said.append)
    finally:
        lease.close()
    assert not marks.exists()
    return str(refused.value), said


@pytest.mark.usefixtures("state")
def test_without_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program nothing is begun, and what to do is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    message, said = start(tmp_path)
    assert message.startswith("the kind program is not on PATH\n  install it")
    assert said == []


@pytest.mark.usefixtures("state")
def test_without_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine no image is prepared."""
    kind = tmp_path / "kind"
    kind.write_text("#!/bin/sh\n", encoding="utf-8")
    kind.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    message, _ = start(tmp_path)
    assert message.startswith("Docker does not answer: ")
