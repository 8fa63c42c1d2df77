"""What holds for the whole tree and no linter checks: promises, sizes, names."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("demo_server", "harness", "kube_grpc", "simcluster")
VAGUE = {"base", "common", "helpers", "manager", "misc", "util", "utils"}


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "_pb2" not in path.name]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def lacking(paths: list[Path]) -> list[str]:
    return [
        f"{path}:{node.lineno} {node.name}"
        for path in paths
        for node in functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]


def test_every_test_says_what_it_promises() -> None:
    """Each test has a docstring."""
    assert lacking(sources("tests", "scenarios")) == []


def test_a_test_without_a_promise_is_found(tmp_path: Path) -> None:
    """Negative control: the check above can fail."""
    (tmp_path / "test_x.py").write_text("def test_y():\n    pass\n", encoding="utf-8")

    assert len(lacking([tmp_path / "test_x.py"])) == 1


def test_files_can_be_read_in_one_sitting() -> None:
    """No source file is longer than 400 lines, no function than 60."""
    files = [
        str(path) for path in sources(*PACKAGES) if len(path.read_text(encoding="utf-8").splitlines()) > 400
    ]
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path in sources(*PACKAGES)
        for node in functions(path)
        if (node.end_lineno or node.lineno) - node.lineno >= 60
    ]

    assert (files, long) == ([], [])


def test_modules_are_named_for_what_they_are() -> None:
    """No module is called utils or the like."""
    assert [str(path) for path in sources(*PACKAGES) if path.stem in VAGUE or path.parent.name in VAGUE] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_name_is_there(package: str) -> None:
    """`from PACKAGE import *` works: each name in __all__ resolves."""
    module = importlib.import_module(package)

    assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []
