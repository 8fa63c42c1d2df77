"""Whole runs on the simulated cluster, with a service and a client of the standard library alone.

What ends a run badly here (Ctrl-C, SIGTERM, kill -9, a failing set-up) must leave no process and no folder
behind.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from projects import Project

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="/proc tells which processes are left"
)

QUICK = """\
manifests: app
target: {service: greeter}
load: {rate: 50/s, warm_up: 3}
variants: [tcp]
steps:
  - wait: 500ms
  - scale: 3
  - wait: {for: settled}
  - wait: 500ms
  - kill: {pods: 1, signal: KILL, pid_file: server.pid}
  - wait: {for: settled}
  - wait: 1s
  - kill: {pods: 1}
  - wait: {for: settled}
  - wait: 2s  # or the roll takes the new pod before anybody has called it
  - roll: greeter
  - apply: more.yml
  - delete: {kind: ConfigMap, name: more}
  - wait: {for: settled}
  - wait: 1s
  - wait: 3s
    name: quiet
expect:
  - variant: tcp
    join_gap: {max: 5s}
    errors: {max_share: 50%}
  - variant: tcp
    phase: quiet
    errors: 0
"""
LONG = QUICK[: QUICK.index("steps:")] + "steps: [{wait: 10m}]\nexpect: [{variant: tcp, errors: 0}]\n"
ONE_SIDED = """\
manifests: app
target: {service: greeter, replicas: 3}
load: {rate: 100/s, warm_up: 3}
variants: {tcp: {env: {FAULT: first}, note: broken on purpose}}
steps: [{wait: 4s}]
expect: [{variant: tcp, shares: even_random}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)


def wait_for_step(process: subprocess.Popen[str]) -> str:
    """The output up to where the scenario's step has begun."""
    read = ""
    assert process.stdout is not None
    for line in process.stdout:
        read += line
        if "step 1 of 1" in line:
            return read
    raise AssertionError(f"the step never began:\n{read}")


def figures(path: Path) -> dict[str, str]:
    """The properties of the one test of a JUnit file."""
    (case,) = ElementTree.parse(path).getroot().iter("testcase")
    return {each.attrib["name"]: each.attrib["value"] for each in case.iter("property")}


def test_a_whole_run(project: Project) -> None:
    """Every verb works, what happened is measured and reported, and nothing is left behind."""
    project.scenario("night", QUICK)

    code, output = project.run("--junitxml=out.xml")

    assert code == 0, output
    assert "night pass on sim, Kubernetes v1.3" in output
    (scenario,) = project.report()["scenarios"]
    assert [verdict["verdict"] for verdict in scenario["verdicts"]] == ["pass"] * 3
    (variant,) = scenario["variants"]
    assert variant["calls"] > 300
    assert (variant["lost_samples"], variant["bad_lines"]) == (0, 0)
    # one by scaling, one that came back, one for the deleted, three by the roll
    assert (variant["join_gap_s"]["count"], variant["join_gap_s"]["missed"]) == (6, 0)
    assert variant["leave_gap_s"]["count"] >= 4
    assert figures(project.path / "out.xml") == {
        "k8s.backend": "sim",
        "k8s.kubernetes": project.report()["kubernetes"],
        "k8s.verdict": "pass",
        "k8s.tcp.calls": str(variant["calls"]),
        "k8s.tcp.errors": str(variant["errors"]),
        **{
            f"k8s.tcp.{gap}_gap_{which}_s": f"{variant[f'{gap}_gap_s'][which]:.6f}"
            for gap in ("join", "leave")
            for which in ("p50", "max")
        },
        "k8s.tcp.join_gap_missed": "0",
        "k8s.tcp.leave_gap_missed": "0",
        "k8s.tcp.silence_s": f"{variant['silence_s']:.6f}",
    }
    lines = (project.path / "k8s-report" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert {"history", "call", "said", "step", "slice", "pod"} <= {json.loads(line)["kind"] for line in lines}
    assert project.left_in_the_end() == []


def test_a_client_that_is_one_sided(project: Project) -> None:
    """A balancer that always takes the first pod makes the run red, and the evidence names the shares."""
    project.scenario("night", ONE_SIDED)

    code, output = project.run()

    assert code == 1
    (verdict,) = project.report()["scenarios"][0]["verdicts"]
    assert verdict["verdict"] == "fail"
    assert "(100%)" in verdict["evidence"]
    assert "(0%)" in verdict["evidence"]
    assert verdict["evidence"] in output
    assert "tcp (broken on purpose)" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_run_that_is_interrupted(project: Project, number: signal.Signals) -> None:
    """No process, no folder and no ledger is left, and the report says that the run was interrupted."""
    project.scenario("night", LONG)
    process = project.start()
    wait_for_step(process)

    process.send_signal(number)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert project.report()["scenarios"][0]["failure"] == "the run was interrupted"
    assert project.left_in_the_end() == []


def test_a_run_that_is_killed(project: Project) -> None:
    """After kill -9 no process is left; the folder that is, is removed by the next run, which says so."""
    project.scenario("night", LONG)
    process = project.start()
    wait_for_step(process)

    process.kill()
    process.communicate(timeout=60)

    until = time.monotonic() + 20
    pause = threading.Event()
    while any(" " in entry for entry in project.left()) and time.monotonic() < until:
        pause.wait(0.1)
    left = project.left()
    assert not any(" " in entry for entry in left), left
    folders = [entry for entry in left if entry.startswith(str(project.temporary))]
    assert folders
    project.scenario("night", LONG.replace("10m", "100ms"))
    code, output = project.run()
    assert code == 0, output
    assert f"k8s: removed folder {folders[0]}, left by a run that was killed" in output
    assert project.left_in_the_end() == []


def test_a_set_up_that_fails(project: Project) -> None:
    """Each scenario fails with the reason, the report has it, and nothing is left behind."""
    project.scenario("night", LONG)
    project.scenario("morning", LONG)

    code, output = project.run("--k8s-version=nonsense")

    assert code == 1
    assert "the cluster could not be set up: the simulated cluster did not start" in output
    assert "(the cluster was tried once for all scenarios)" in output
    assert project.report()["failure"].startswith("the cluster could not be set up")
    assert project.left_in_the_end() == []


def test_an_app_that_does_not_start(project: Project) -> None:
    """The reason and the last lines of the pod's log are in the error, well before any time-out."""
    project.scenario("night", LONG)
    (project.path / "app" / "server.py").write_text("raise SystemExit('no database')", encoding="utf-8")

    began = time.monotonic()
    code, output = project.run()

    assert code == 1
    assert "deployment greeter is not complete: 2 wanted, 2 pods, 2 updated, 0 available" in output
    assert "server waiting: CrashLoopBackOff" in output
    assert "no database" in output
    assert "with --k8s-network=namespace programs run as they are" in output
    assert time.monotonic() - began < 60
    assert project.left_in_the_end() == []


def test_a_server_that_listens_at_all_addresses(project: Project) -> None:
    """Where pods share one network, it would answer for others: the run is red and says what to do."""
    project.scenario("night", LONG.replace("{service: greeter}", "{service: greeter, replicas: 1}"))
    for name in ("server.py", "app.yaml"):  # a port of its own: at 7000 are the pods of other tests
        file = project.path / "app" / name
        text = file.read_text(encoding="utf-8").replace('os.environ["POD_IP"]', '"0.0.0.0"')
        file.write_text(text.replace("7000", "7017"), encoding="utf-8")

    code, output = project.run()

    assert code == 1
    assert "of the Service greeter listens at all addresses, port 7017" in output
    assert "status.podIP" in output
    assert "with --k8s-network=namespace" in output
    assert project.left_in_the_end() == []


def test_an_image_that_is_not_there(project: Project) -> None:
    """A wait for an image that nobody has ends with its name."""
    project.scenario("night", LONG)
    file = project.path / "app" / "app.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("app-server:dev", "other:dev"), encoding="utf-8")

    code, output = project.run()

    assert code == 1
    assert (
        "name it in the hook pytest_k8s_images of a conftest.py: harness.images.Image('other:dev', command"
        in output
    )
    assert project.left_in_the_end() == []


BROKEN = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: greeter}
spec:
  template:
    spec:
      containers:
        - name: server
          image: app-server:dev
          env:
            - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
          readinessProbe: {tcpSocket: {port: 7001}, periodSeconds: 1}
"""


def test_a_rollout_that_is_stuck(project: Project) -> None:
    """A wait after a change looks at the change, not at what was before; what the probe met is told."""
    change = "steps: [{wait: 1s}, {apply: broken.yml}, {wait: {for: rollout, timeout: 5s}}]\n"
    project.scenario("night", LONG[: LONG.index("steps:")] + change + LONG[LONG.index("expect:") :])
    (project.path / "broken.yml").write_text(BROKEN, encoding="utf-8")

    code, output = project.run()

    assert code == 1
    assert (
        "night.yaml:5: step 3: wait until rollout: deployment greeter is not complete: 2 wanted, 3 pods, 1 upd"
        in output
    )
    assert "server runs but its readiness probe has not passed" in output
    assert "Unhealthy: Readiness probe failed: dial tcp" in output
    assert ":7001: connect: connection refused" in output


def test_a_run_that_is_repeated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both runs are in the report, and at the end stands how much they differ, in letters that the log has."""
    project.scenario("night", LONG.replace("10m", "500ms"))
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    code, output = project.run("--k8s-repeat=2")

    assert code == 0, output
    report = project.report()
    assert [scenario["name"] for scenario in report["scenarios"]] == ["night", "night"]
    (row,) = report["spread"]
    assert (row["variant"], row["runs"], row["met"]) == ("tcp", 2, 2)
    assert row["errors"] == {"min": 0, "median": 0, "max": 0}
    assert "min / median / max over runs" in output
    assert "\\u" not in output
    assert "-----" in output
