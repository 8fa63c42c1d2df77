"""Every kubectl in `KUBECTL` through every story: prints and exits as against a real kube-apiserver v1.36.3.

What it printed there stands in `kubectl/kubectl-vX.Y.json`, by version of kubectl; see `kubectl/stories.py`. Neither
side has controllers or a kubelet here; commands that need them are tried in other modules.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from api_process import run_server

from simcluster.network.addresses import Pool


def load_stories() -> ModuleType:
    path = Path(__file__).parent / "kubectl" / "stories.py"
    spec = importlib.util.spec_from_file_location("kubectl_stories", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STORIES = load_stories()


def programs() -> list[str]:
    listed = os.environ.get("KUBECTL")
    if listed is not None:
        return [path for path in listed.split(os.pathsep) if path]
    found = shutil.which("kubectl")
    return [] if found is None else [found]


@pytest.mark.parametrize("story", STORIES.STORIES)
@pytest.mark.parametrize("program", programs() or [None])
def test_a_story_goes_as_on_a_real_cluster(program: str | None, story: str, tmp_path: Path) -> None:
    """Each command of the story, one after the other: the same text, the same exit code."""
    if program is None:
        pytest.skip("no kubectl: set KUBECTL, or install one on PATH")
    with run_server(tmp_path, Pool(["10.96.0"])) as cluster:
        kubectl = STORIES.Kubectl(program, str(cluster.kubeconfig), str(tmp_path))
        path = STORIES.recording(kubectl.version())
        if not path.exists():
            pytest.skip(f"nothing is recorded of kubectl {kubectl.version()}; see kubectl/stories.py")
        recorded = json.loads(path.read_text())[story]
        assert [command for command, _, _ in recorded] == STORIES.commands(story), "to be recorded again"
        kubectl.begin()
        different = []
        for command, code, text in recorded:
            found = kubectl.run(command)
            if found != (code, text):
                different.append((command, {"real": (code, text), "here": found}))
    assert different == []
