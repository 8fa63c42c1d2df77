"""The control of the whole: a pool that always picks its first member must make `seed_behaviours` red."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BROKEN = """\
import sys
from demo_server import client
from kube_grpc.picker import RoundRobin

RoundRobin.pick = lambda self, _metadata=None: self.members[0]
sys.exit(client.main())
"""
CONFTEST = """\
import sys
from pathlib import Path
from harness.images import Image

def pytest_k8s_images(config):
    return [
        Image("greeter:dev", (sys.executable, "-m", "demo_server.server")),
        Image("greeter-client:dev", (sys.executable, str(Path(__file__).parent / "broken.py"))),
        Image("greeter-gateway:dev", (sys.executable, "-m", "demo_server.gateway")),
    ]
"""
TEST = """\
import pytest

@pytest.mark.k8s_scenarios("seed_behaviours.yaml")
def test_scenario(k8s_scenario):
    k8s_scenario.run()
"""


def test_a_pool_that_always_picks_the_first_member(tmp_path: Path) -> None:
    """The run is red, and the evidence names the shares of every pod."""
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    (tmp_path / "scenarios").mkdir()
    shutil.copy(ROOT / "scenarios" / "seed_behaviours.yaml", tmp_path / "scenarios")
    (tmp_path / "scenarios" / "test_broken.py").write_text(TEST, encoding="utf-8")
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--k8s", "--k8s-backend=sim", "--k8s-variant=pool"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads((tmp_path / "k8s-report" / "report.json").read_text(encoding="utf-8"))
    verdicts = {verdict["check"]: verdict for verdict in report["scenarios"][0]["verdicts"]}
    assert verdicts["pool: shares"]["verdict"] == "fail"
    assert "(100%)" in verdicts["pool: shares"]["evidence"]
    assert verdicts["pool: shares"]["evidence"].count("greeter-") >= 3
    assert verdicts["pool: errors"]["verdict"] == "pass"
    assert verdicts["pool: shares"]["evidence"] in done.stdout
