"""Reports: tables for people, report.json for programs, and judging again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.__main__ import main
from harness.errors import HistoryError
from harness.history import History
from harness.report import (
    Folder,
    Refused,
    build,
    comparison_table,
    failures,
    judge_history,
    properties,
    scenario_table,
    spread_table,
)

TEXT = """\
about: A pod joins.
variants: {pool: , headless: {note: pick_first}}
steps:
  - wait: 1s
  - scale: 2
expect:
  - variant: all
    errors: 0
  - variant: pool
    join_gap: {max: 1s}
load: {rate: 1/s}
"""


@pytest.fixture
def told(story: Any) -> History:
    """A run of two variants in which the pool is quick and headless misses the new pod and fails once."""
    made = story("pool", "headless")
    made.ready(-1, "a")
    made.calls({"a": 10}, variant="pool", client="one", end=1.9)
    made.calls({"a": 20}, variant="headless", client="two", end=1.9)
    made.step(2, "scale")
    made.ready(3, "a", "b")
    made.calls({"a": 10, "b": 10}, variant="pool", client="one", begin=3.1)
    made.call(5, None, code="UNAVAILABLE", variant="headless", client="two")
    history: History = made.history(text=TEXT)
    return history


def test_the_table_of_a_scenario(told: History) -> None:
    """One row a variant with its note, and each verdict that did not pass with its evidence and line."""
    text = scenario_table(judge_history(told), width=130, is_coloured=False)

    assert text.splitlines()[0] == "story FAIL on sim, Kubernetes v1.36"
    pool = next(line for line in text.splitlines() if line.startswith("pool"))
    assert pool.split()[1:5] == ["30", "0", "67", "33"]
    assert "2 met" in pool
    headless = next(line for line in text.splitlines() if line.startswith("headless (pick_first)"))
    assert "1 of 1 missed" in headless
    assert "FAIL headless: errors story.yaml:8" in text
    assert (
        "  1 of 21 calls failed (1 UNAVAILABLE), from 5.00 s to 5.00 s after whole run began; at most 0 expected"
        in text
    )


def test_colours_only_where_they_are_wanted(told: History) -> None:
    """A log has no escape codes in it; a terminal has."""
    result = judge_history(told)

    assert "\x1b" not in scenario_table(result, width=120, is_coloured=False)
    assert "\x1b" in scenario_table(result, width=120, is_coloured=True)


def test_the_comparison(told: History) -> None:
    """One row a variant over all scenarios, with the expectations that it met."""
    text = comparison_table([judge_history(told)] * 2, width=130, is_coloured=False)

    pool = next(line for line in text.splitlines() if line.startswith("pool"))
    assert pool.split()[1] == "60"
    assert "4 of 4" in pool
    assert "2 of 2 missed" in next(line for line in text.splitlines() if line.startswith("headless"))


def test_a_run_that_failed_before_its_end(told: History) -> None:
    """It has no verdicts and no numbers, fails, and says why once."""
    result = judge_history(replace(told, failure="no image\n  a hint", ended_at=None))

    assert result.verdict == "fail"
    assert "it did not run to its end: no image" in scenario_table(result, width=120, is_coloured=False)
    assert failures(result) == "no image\n  a hint"


def test_the_error_of_a_test(told: History) -> None:
    """Only what did not pass, with its place in the file."""
    assert failures(judge_history(told)).startswith(
        "story.yaml:8: headless: errors: fail\n  1 of 21 calls failed"
    )


def test_report_json(told: History) -> None:
    """The document has every number of the issue's form, in seconds, with null for what was not measured."""
    document = json.loads(
        json.dumps(build([judge_history(told)], backend="sim", reason="asked for", kubernetes="v1.36"))
    )

    assert (document["schema"], document["backend"], document["kubernetes"]) == (1, "sim", "v1.36")
    (scenario,) = document["scenarios"]
    assert (scenario["name"], scenario["verdict"], scenario["about"]) == ("story", "fail", "A pod joins.")
    pool, headless = scenario["variants"]
    assert (pool["name"], pool["calls"], pool["errors"], pool["pods"]) == ("pool", 30, 0, {"a": 20, "b": 10})
    assert (pool["join_gap_s"]["count"], pool["join_gap_s"]["missed"]) == (1, 0)
    assert headless["join_gap_s"] == {"count": 1, "missed": 1, "p50": None, "p95": None, "max": None}
    assert pool["leave_gap_s"] == {
        "count": 0,
        "missed": 0,
        "p50": None,
        "p95": None,
        "max": None,
        "calls_after": 0,
        "errors_after": 0,
    }
    assert [phase["name"] for phase in pool["phases"]] == ["start", "scale"]
    assert headless["phases"][1]["error_window_s"] == [3.0, 3.0]
    assert pool["phases"][0]["error_window_s"] is None
    assert {"check", "variant", "kind", "phase", "verdict", "evidence", "line"} == scenario["verdicts"][
        0
    ].keys()


def test_runs_that_are_repeated(told: History, story: Any) -> None:
    """For each variant, in how many runs all was met, and least, median and most of each number."""
    worse = replace(told, records=(*told.records, *failed_calls(story, 3)))
    broken = replace(told, failure="no more", ended_at=None)
    runs = [judge_history(each) for each in (told, worse, told, broken)]

    found = build(runs, backend="sim", reason="asked for", kubernetes="v1.36")["spread"]

    pool, headless = found
    assert (pool["scenario"], pool["variant"], pool["runs"], pool["met"]) == ("story", "pool", 4, 2)
    assert pool["errors"] == {"min": 0, "median": 0, "max": 3}
    assert pool["join_gap_p95_s"]["max"] == pytest.approx(pool["join_gap_p95_s"]["min"])
    assert pool["end_gap_max_s"] is None
    assert (headless["met"], headless["join_gap_missed"]["min"]) == (0, 1)
    table = spread_table(runs, width=160, is_coloured=False)
    row = next(line for line in table.splitlines() if line.startswith("story: pool"))
    assert row.split()[2:10] == ["2", "of", "4", "0", "/", "0", "/", "3"]


def test_runs_that_are_not(told: History) -> None:
    """One run of each scenario has no spread, and no table of it."""
    run = judge_history(told)

    assert build([run], backend="sim", reason="", kubernetes=None)["spread"] == []
    assert spread_table([run], width=160, is_coloured=False) == ""


def failed_calls(story: Any, count: int) -> tuple[Any, ...]:
    made = story("pool")
    made.skip_numbers(30, client="one")
    for index in range(count):
        made.call(9 + index / 10, None, code="UNAVAILABLE", client="one")
    records: tuple[Any, ...] = made.history().records
    return records


def test_a_saved_run_is_judged_alike(told: History, tmp_path: Path) -> None:
    """The history on disk gives the very same report as the run did."""
    folder = Folder(tmp_path / "report")
    folder.begin()
    folder.add(told)
    folder.add(told)

    again = [judge_history(history) for history in folder.histories()]

    assert [judge_history(told)] * 2 == again


def test_files_of_an_earlier_run(told: History, tmp_path: Path) -> None:
    """A new run begins with an empty report, and touches no other file."""
    folder = Folder(tmp_path)
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    folder.add(told)
    folder.write({"old": True})

    folder.begin()

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_judging_a_folder_without_a_run(tmp_path: Path) -> None:
    """It is said which file is missing and who writes it."""
    with pytest.raises(HistoryError) as refused:
        Folder(tmp_path).histories()

    assert (
        f"{tmp_path}/history.jsonl: No such file or directory\n  a run writes it; give the folder of its report"
        == str(refused.value)
    )


def test_judge_on_the_command_line(told: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the tables and ends with 1 because an expectation was not met."""
    Folder(tmp_path).add(told)

    assert main(["judge", str(tmp_path)]) == 1
    assert "FAIL headless: errors" in capsys.readouterr().out


def test_judge_by_an_edited_file(told: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario file given on the command line replaces the one in the history."""
    Folder(tmp_path).add(told)
    edited = tmp_path / "story.yaml"
    edited.write_text(TEXT.replace("errors: 0", "errors: 1"), encoding="utf-8")

    assert main(["judge", str(tmp_path), "--scenario", str(edited)]) == 0


def test_judge_by_a_file_of_other_variants(
    told: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused: nothing would be judged, and that be no failure."""
    Folder(tmp_path).add(told)
    edited = tmp_path / "story.yaml"
    edited.write_text(
        "variants: [pol]\nsteps: [{wait: 1s}]\nexpect: [{variant: pol, errors: 0}]\n", encoding="utf-8"
    )

    assert main(["judge", str(tmp_path), "--scenario", str(edited)]) == 2
    assert capsys.readouterr().err == (
        f"{edited}: has none of the variants that ran: pool, headless\n  known variants: pol\n"
    )


def test_a_run_of_which_the_end_is_not_known(told: History) -> None:
    """Without its end nothing is measured, which is no success."""
    assert judge_history(replace(told, ended_at=None)).verdict == "unknown"


def test_judge_by_a_file_of_another_name(
    told: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused with the names that there are: the run would be judged by the old text, and nobody told."""
    Folder(tmp_path).add(told)
    edited = tmp_path / "stroy.yaml"
    edited.write_text(TEXT, encoding="utf-8")

    assert main(["judge", str(tmp_path), "--scenario", str(edited)]) == 2
    assert capsys.readouterr().err == (
        f"{edited}: no scenario of that run is called stroy\n"
        "  known scenarios of that run: story\n"
        '  did you mean "story"?\n'
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty: no scenario of that run was begun"),
        (b"\xff\xfe", "not text in UTF-8, so no run has written it"),
    ],
)
def test_judge_what_no_run_has_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    """A history without a scenario is no success: it ends with 2 and a sentence."""
    (tmp_path / "history.jsonl").write_bytes(content)

    assert main(["judge", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/history.jsonl: {message}\n"


def test_judge_where_the_terminal_has_few_letters(told: History, tmp_path: Path) -> None:
    """The table has something else for its lines, and all its words."""
    Folder(tmp_path).add(told)
    found = subprocess.run(
        [sys.executable, "-m", "harness", "judge", str(tmp_path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (found.returncode, found.stderr) == (1, "")
    assert "FAIL headless: errors" in found.stdout


def test_judge_a_run_in_which_a_scenario_was_not_begun(
    told: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was begun is judged, and that this is not all is said: it ends with 2, though all that is there passed."""
    passed = replace(told, text=TEXT.replace("errors: 0", "errors: 1"))
    folder = Folder(tmp_path)
    folder.add(passed)
    refused = Refused("dawn", "dawn.yaml", "dawn.yaml:2: not text\n  a hint")
    results = [judge_history(passed)]
    folder.write(build(results, refused=[refused], backend="sim", reason="", kubernetes=None))

    assert main(["judge", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "dawn: was not begun in that run, so nothing of it can be judged\n  dawn.yaml:2: not text\n    a hint\n"
    )
    folder.write(build(results, backend="sim", reason="", kubernetes=None))
    assert main(["judge", str(tmp_path)]) == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"scenarios": [{}]}', '{"scenarios": 7}'])
def test_judge_beside_a_damaged_report(
    told: History, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """It is said, with what to do, instead of judging a part of the run as if it were all."""
    Folder(tmp_path).add(told)
    (tmp_path / "report.json").write_text(content, encoding="utf-8")

    assert main(["judge", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path}/report.json: damaged, ")


def test_figures_as_properties(told: History) -> None:
    """Each variant's figures by the names of report.json; what was not measured is not there."""
    found = dict(properties(judge_history(told)))

    assert (found["k8s.backend"], found["k8s.kubernetes"], found["k8s.verdict"]) == ("sim", "v1.36", "fail")
    assert (found["k8s.pool.calls"], found["k8s.pool.errors"]) == ("30", "0")
    assert float(found["k8s.pool.join_gap_p50_s"]) == float(found["k8s.pool.join_gap_max_s"]) > 0
    assert found["k8s.headless.join_gap_missed"] == "1"
    assert not {"k8s.headless.join_gap_p50_s", "k8s.pool.leave_gap_max_s", "k8s.pool.leave_gap_missed"} & set(
        found
    )


def test_judge_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 2 and a sentence."""
    assert main(["judge", str(tmp_path)]) == 2
    assert "history.jsonl: No such file" in capsys.readouterr().err


def test_check_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Good files are counted, wrong ones explained, and one wrong file is enough to end with 1."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(TEXT, encoding="utf-8")
    bad.write_text(TEXT.replace("scale: 2", "scael: 2"), encoding="utf-8")

    assert main(["check", str(good)]) == 0
    assert f"{good}: 2 variants, 2 steps, 3 expectations\n" == capsys.readouterr().out
    assert main(["check", str(good), str(bad)]) == 1
    assert f'{bad}:5: step 2: unknown step "scael"' in capsys.readouterr().out
