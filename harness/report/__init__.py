"""Reports: the history of each scenario, report.json, and the tables for a terminal.

Rule: the history is saved before it is judged, and everything is written also when something failed.
`Folder` writes; the modules beside it only turn results into text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HistoryError
from harness.history import History, from_lines, to_lines
from harness.report.document import Document, Refused, build
from harness.report.judged import Judged, judge_history
from harness.report.properties import properties
from harness.report.text import comparison_table, failures, scenario_table, spread_table

__all__ = [
    "Folder",
    "Judged",
    "Refused",
    "build",
    "comparison_table",
    "failures",
    "judge_history",
    "properties",
    "scenario_table",
    "spread_table",
]

HISTORY, REPORT = "history.jsonl", "report.json"


class Folder:
    """The report's folder.

    The histories of all scenarios of a run follow each other in one file, each with its header.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: Path | None = None

    def begin(self) -> None:
        """Make the folder and remove the files of an earlier run. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (HISTORY, REPORT):
            (self.path / name).unlink(missing_ok=True)

    def add(self, history: History) -> None:
        """Append a history."""
        with (self.path / HISTORY).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in to_lines(history))

    def write(self, document: Document) -> None:
        """Write report.json, whole or not at all."""
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        beside = self.path / f".{REPORT}.new"
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.path / REPORT)
        self.written = self.path / REPORT

    def histories(self) -> Sequence[History]:
        """The histories of a saved run. Raises HistoryError."""
        file = self.path / HISTORY
        try:
            with file.open(encoding="utf-8") as lines:
                found = from_lines(lines)
        except OSError as error:
            raise HistoryError(
                f"{file}: {error.strerror}\n  a run writes it; give the folder of its report"
            ) from None
        except UnicodeDecodeError:
            raise HistoryError(f"{file}: not text in UTF-8, so no run has written it") from None
        except HistoryError as error:
            raise HistoryError(f"{file}: {error}") from None
        if not found:
            raise HistoryError(f"{file}: it is empty: no scenario of that run was begun")
        return found

    def refused(self) -> Sequence[Refused]:
        """The scenarios of a saved run that were not begun; none if its report.json was not kept.

        Raises HistoryError.
        """
        file = self.path / REPORT
        try:
            scenarios = json.loads(file.read_text(encoding="utf-8"))["scenarios"]
            return [
                Refused(each["name"], each["path"], each["failure"])
                for each in scenarios
                if each["load"] is None
            ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HistoryError(f"{file}: {error.strerror}") from None
        except (ValueError, TypeError, KeyError):
            raise HistoryError(
                f"{file}: damaged, so it can not be told whether all scenarios of that run were begun\n"
                f"  remove it to judge {HISTORY} alone"
            ) from None
