"""A project with scenarios and an app of its own, in which tests run pytest as users do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

CONFTEST = """\
import sys
from pathlib import Path
from harness.images import Image

APP = Path(__file__).parent / "app"

def pytest_k8s_images(config):
    return [Image(f"app-{part}:dev", (sys.executable, str(APP / f"{part}.py"))) for part in ("server", "client")]
"""
TEST = """\
import pytest

@pytest.mark.k8s_scenarios("*.yaml")
def test_scenario(k8s_scenario):
    k8s_scenario.run()
"""
MORE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {a: b}\n"


def restore_interrupt() -> None:
    """As in a terminal: a shell has its background jobs, and so all these tests, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Project:
    """A folder with the app.

    Scenarios and their test, and a place for temporary folders and ledgers of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copytree(Path(__file__).parent / "app", path / "app")
        (path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        (path / "test_scenarios.py").write_text(TEST, encoding="utf-8")
        (path / "more.yml").write_text(MORE, encoding="utf-8")
        (path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        self.temporary = path / "tmp"
        self.temporary.mkdir()

    def scenario(self, name: str, text: str) -> None:
        """Write a scenario file."""
        (self.path / f"{name}.yaml").write_text(text, encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start pytest on the simulated cluster."""
        environment = {
            **os.environ,
            "TMPDIR": str(self.temporary),
            "XDG_STATE_HOME": str(self.path / "state"),
            "PYTHONUNBUFFERED": "1",
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--k8s",
            "--k8s-backend=sim",
            "-p",
            "no:cacheprovider",
            *arguments,
        ]
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=environment,
            preexec_fn=restore_interrupt,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run pytest to its end; exit code and output."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def report(self) -> Any:
        """report.json."""
        return json.loads((self.path / "k8s-report" / "report.json").read_text(encoding="utf-8"))

    def left(self) -> list[str]:
        """Processes that mention this project on their command line, folders and ledgers; of nobody else."""
        found = [str(path) for path in self.temporary.iterdir()]
        found += [str(path) for path in (self.path / "state").rglob("*.json")]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue  # it ended in this very moment
                if str(self.path) in command:
                    found.append(command)
        return found

    def left_in_the_end(self) -> list[str]:
        """The same, once what dies with its parent has had a few seconds to do so."""
        until = time.monotonic() + 10
        pause = threading.Event()
        while (found := self.left()) and time.monotonic() < until:
            pause.wait(0.1)
        return found
