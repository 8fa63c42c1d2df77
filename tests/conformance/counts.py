"""How many cases each section has: `python tests/conformance/counts.py` writes the table in docs/fidelity.md.

The rule it keeps: the numbers are those of pytest's own collection, so they can not be written by hand.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "fidelity.md"
BEGIN, END = "<!-- counts: written by tests/conformance/counts.py -->", "<!-- end of counts -->"


def collect() -> list[str]:
    """All cases, as `file.py::test[id]`."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(HERE)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent.parent).stdout
    return [_case(line) for line in said.splitlines() if "::" in line]


def _case(line: str) -> str:
    path, _, test = line.partition("::")
    return f"{path.rpartition('/')[2]}::{test}"


def title(file: str) -> str:
    """What a file says that it is about."""
    docstring = ast.get_docstring(ast.parse((HERE / file).read_text(encoding="utf-8")))
    assert docstring is not None, file
    return docstring.splitlines()[0].rstrip(".")


def render(cases: list[str]) -> str:
    """The table, between its marks."""
    numbers = Counter(case.partition("::")[0] for case in cases)
    rows = [f"| {title(file)} | `{file}` | {number} |" for file, number in sorted(numbers.items())]
    head = ["| section | file | cases |", "|---|---|---|"]
    return "\n".join([BEGIN, *head, *rows, f"| all | | {len(cases)} |", END])


def written(text: str) -> str:
    """The table that stands in a document."""
    found = re.search(f"{re.escape(BEGIN)}.*{re.escape(END)}", text, re.DOTALL)
    assert found is not None, "the document has no place for the counts"
    return found[0]


if __name__ == "__main__":
    document = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(document.replace(written(document), render(collect())), encoding="utf-8")
