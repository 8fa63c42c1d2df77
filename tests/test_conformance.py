"""The conformance cases' own rules: they catch a difference, their table is true, their numbers are counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import simcluster

ROOT = Path(__file__).parent.parent
CASES = ROOT / "tests" / "conformance"
sys.path.insert(0, str(CASES))

import counts  # noqa: E402
from rig import differences  # noqa: E402
from rig.client import Answer, Client  # noqa: E402
from rig.target import Choice, TargetError, choose, connect  # noqa: E402


class Altered(Client):
    """A client to whom each answer comes with one text replaced by another."""

    def __init__(self, true: Client, old: bytes, new: bytes) -> None:
        super().__init__(true.configuration, patience_s=true.patience_s)
        self._old, self._new = old, new

    def send(self, *arguments: Any, **named: Any) -> Answer:
        answer = super().send(*arguments, **named)
        return Answer(answer.status, answer.headers, answer.body.replace(self._old, self._new))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """The administrator of a simulated cluster."""
    with simcluster.Cluster() as cluster:
        yield connect(cluster.kubeconfig, None, 10)


def load_case(file: str, name: str) -> Callable[..., None]:
    """A case as a function."""
    space: dict[str, Any] = {}
    exec(compile((CASES / file).read_text(encoding="utf-8"), file, "exec"), space)
    found: Callable[..., None] = space[name]
    return found


ALTERATIONS = [
    ("test_discovery.py", "test_version", (), b'"minor"', b'"miner"'),
    ("test_discovery.py", "test_all_verbs_of_a_stored_kind", (), b'"deletecollection",', b""),
    ("test_discovery.py", "test_health", ("/readyz",), b"ok", b"OK"),
    ("test_discovery.py", "test_unknown_resources", ("/api/v1/widgets",), b"could not", b"can not"),
    ("test_tables.py", "test_columns", ("/api/v1/namespaces",), b"Status", b"Phase"),
]


@pytest.mark.parametrize(
    ("file", "name", "arguments", "old", "new"), ALTERATIONS, ids=[each[1] for each in ALTERATIONS]
)
def test_an_altered_answer_is_caught(
    client: Client, file: str, name: str, arguments: tuple[str, ...], old: bytes, new: bytes
) -> None:
    """Negative control: a case that the server passes fails when one word of the answer is another."""
    case = load_case(file, name)
    case(client, *arguments)
    broken = Altered(client, old, new)
    if name == "test_health":
        broken.as_nobody = lambda: broken  # type: ignore[method-assign]
    with pytest.raises((AssertionError, KeyError)):
        case(broken, *arguments)


def run_case(case: str, *options: str) -> subprocess.CompletedProcess[str]:
    """One case in a pytest of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES / case), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_a_difference_that_is_none_any_more_is_told(tmp_path: Path) -> None:
    """A case that is listed as a difference and passes fails the run."""
    table = tmp_path / "differences.toml"
    table.write_text('"test_discovery.py::test_version" = "it has no version"\n', encoding="utf-8")

    ran = run_case("test_discovery.py::test_version", f"--conformance-differences={table}")

    assert (ran.returncode, "[XPASS(strict)] it has no version" in ran.stdout) == (1, True), ran.stdout


def test_a_difference_has_a_reason(tmp_path: Path) -> None:
    """A line without a reason is refused, with its case."""
    table = tmp_path / "differences.toml"
    table.write_text('"test_x.py::test_y" = ""\n', encoding="utf-8")

    with pytest.raises(ValueError, match=r"test_x\.py::test_y: expected the reason"):
        differences.read(table)


def test_a_line_for_no_case_is_found() -> None:
    """Negative control: a line whose case does not exist is found."""
    assert differences.unknown({"a": "x", "b": "y"}, ["a"]) == ["b"]


@pytest.fixture(scope="module")
def cases() -> list[str]:
    """All cases, as pytest collects them."""
    return counts.collect()


def test_the_table_of_differences_names_cases_that_exist(cases: list[str]) -> None:
    """Each line of differences.toml is about a case."""
    assert differences.unknown(differences.read(), cases) == []


def test_the_numbers_in_the_documentation_are_counted(cases: list[str]) -> None:
    """docs/fidelity.md has the real numbers; `python tests/conformance/counts.py` writes them."""
    assert counts.written(counts.DOCUMENT.read_text(encoding="utf-8")) == counts.render(cases)


def test_a_wrong_number_is_found(cases: list[str]) -> None:
    """Negative control: the table of fewer cases is another."""
    assert counts.render(cases[1:]) != counts.render(cases)


def test_a_target_is_chosen() -> None:
    """The simulation by default; a kubeconfig names its cluster."""
    assert choose(None, None) == Choice("sim")
    assert choose(None, "k", context="c") == Choice("kubeconfig", Path("k"), "c")


@pytest.mark.parametrize(
    ("target", "kubeconfig", "said"),
    [
        ("kindd", None, 'unknown target "kindd"\n  known targets: sim, kind, kubeconfig'),
        ("kubeconfig", None, "goes with --conformance-kubeconfig PATH"),
        ("kind", "k", "got: target kind, kubeconfig k"),
    ],
)
def test_a_wrong_target_is_refused(target: str, kubeconfig: str | None, said: str) -> None:
    """What does not go together is refused with what does."""
    with pytest.raises(TargetError) as raised:
        choose(target, kubeconfig)
    assert said in str(raised.value)
