"""`python -m harness judge DIR` judges a saved run again.

`python -m harness check FILE …` reads scenario files.

Neither needs a cluster. Both end with 0 if all is well, 1 if not, 2 if they could not tell.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

try:
    from harness.checks import PASS
    from harness.errors import HarnessError, HistoryError, ScenarioError, suggest
    from harness.report import Folder, comparison_table, judge_history, scenario_table, spread_table
    from harness.scenario import load
except ModuleNotFoundError as error:  # `pip install kube-grpc` brings the balancer alone
    sys.exit(f"harness: {error.name} is not installed\n  pip install 'kube-grpc[harness]'")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    judge = commands.add_parser("judge", help="judge the history of a run again")
    judge.add_argument("folder", type=Path, metavar="DIR", help="the report's folder, e.g. k8s-report")
    judge.add_argument(
        "--scenario",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="judge by this file; repeatable",
    )
    judge.set_defaults(command=lambda options: _judge(options.folder, options.scenario))
    check = commands.add_parser("check", help="say what is wrong with scenario files")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE")
    check.set_defaults(command=lambda options: _check(options.files))
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no lines gets something else for them
    try:
        return int(options.command(options))
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _judge(folder: Path, files: Sequence[Path]) -> int:
    edited = {path.stem: load(path) for path in files}
    refused = Folder(folder).refused()
    for each in refused:  # first: where there is nothing else, there is no history
        sys.stderr.write(f"{each.name}: was not begun in that run, so nothing of it can be judged\n")
        sys.stderr.write(textwrap.indent(f"{each.reason}\n", "  "))
    histories = Folder(folder).histories()
    names = [history.scenario for history in histories]
    for path in files:
        if path.stem not in names:
            hints = "\n  ".join(suggest(path.stem, names, what="scenarios of that run"))
            raise HistoryError(f"{path}: no scenario of that run is called {path.stem}\n  {hints}")
    results = [judge_history(history, edited.get(history.scenario)) for history in histories]
    width, is_coloured = max(100, shutil.get_terminal_size((120, 24)).columns), sys.stdout.isatty()
    for result in results:
        sys.stdout.write(scenario_table(result, width=width, is_coloured=is_coloured) + "\n\n")
    if len(results) > 1:
        sys.stdout.write(comparison_table(results, width=width, is_coloured=is_coloured) + "\n")
        sys.stdout.write(spread_table(results, width=width, is_coloured=is_coloured) + "\n")
    is_passed = all(result.verdict == PASS for result in results)
    return 1 if not is_passed else 2 if refused else 0


def _check(files: Sequence[Path]) -> int:
    wrong = 0
    for path in files:
        try:
            scenario = load(path)
        except ScenarioError as error:
            wrong += 1
            sys.stdout.write(f"{error}\n")
        else:
            if scenario is not None:
                told = f"{len(scenario.variants)} variants, {len(scenario.steps)} steps"
                sys.stdout.write(f"{path}: {told}, {len(scenario.expectations)} expectations\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
