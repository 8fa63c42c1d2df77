"""The scenarios of this repository must be able to fail: here is a pool that is broken on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CONFTEST = """\
import sys
from harness.images import Image

def pytest_k8s_images(config):
    return [
        Image("greeter:dev", (sys.executable, "-m", "demo_server.server")),
        Image("greeter-client:dev", (sys.executable, {client!r})),
        Image("greeter-gateway:dev", (sys.executable, "-m", "demo_server.gateway")),
    ]
"""


def test_a_pool_that_always_picks_its_first_member(tmp_path: Path) -> None:
    """`seed_behaviours` is red, for the shares alone, and its evidence names them."""
    for name in ("manifests", "scenarios"):
        (tmp_path / name).symlink_to(ROOT / name)
    broken = str(Path(__file__).with_name("first_member_client.py"))
    (tmp_path / "conftest.py").write_text(CONFTEST.format(client=broken), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--k8s", "--k8s-backend=sim", "--k8s-variant=pool"]
    options = ["-p", "no:cacheprovider", "-k", "seed_behaviours", "scenarios/test_scenarios.py"]
    ran = subprocess.run(
        [*command, *options], cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert ran.returncode == 1, ran.stdout + ran.stderr
    report = json.loads((tmp_path / "k8s-report" / "report.json").read_text(encoding="utf-8"))
    verdicts = {each["check"]: each for each in report["scenarios"][0]["verdicts"]}
    assert {check: each["verdict"] for check, each in verdicts.items()} == {
        "pool: shares": "fail",
        "pool: errors": "pass",
        "pool: silence": "pass",
    }
    evidence = verdicts["pool: shares"]["evidence"]
    assert "(100%)" in evidence
    assert "0 (0%)" in evidence
    assert evidence.split(":")[0] in ran.stdout
