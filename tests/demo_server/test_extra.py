"""The programs without the packages of the extra."""

import subprocess
import sys

import pytest

NEEDS = {"server": "grpc_health", "client": "google", "gateway": "envoy"}
ABSENT = """\
import runpy, sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name == {library!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent)
"""


def run_without(library: str, code: str) -> subprocess.CompletedProcess[str]:
    """Python in which a library is not there."""
    command = [sys.executable, "-c", ABSENT.format(library=library) + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("program", "library"), NEEDS.items())
def test_a_program_says_what_to_install(program: str, library: str) -> None:
    """Two lines instead of a traceback, and an exit code of its own."""
    found = run_without(library, f"runpy.run_module('demo_server.{program}', run_name='__main__')")
    assert found.returncode == 1
    assert found.stderr == (
        f"demo_server.{program}: {library} is not installed\n  pip install 'kube-grpc[demo]'\n"
    )


@pytest.mark.parametrize(("program", "library"), NEEDS.items())
def test_a_module_that_is_imported_raises(program: str, library: str) -> None:
    """Who imports it gets the exception, not an exit."""
    found = run_without(library, f"import demo_server.{program}")
    assert found.stderr.endswith(f"ModuleNotFoundError: No module named '{library}'\n")
