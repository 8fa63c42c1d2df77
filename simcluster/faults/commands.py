"""`python -m simcluster fault …`: faults for a person at a prompt.

The rule it keeps: a fault lasts as long as its command runs, `--for` at most, and ends with Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from simcluster.command import in_words
from simcluster.faults.kinds import INSTANT, KINDS
from simcluster.faults.remote import FaultRefused, Faults
from simcluster.named_kubeconfig import read_folder

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_GONE = (
    "that cluster does not run any more\n  `python -m simcluster up` prints the KUBECONFIG of one that does"
)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?")


def fault(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}; or list, or clear.")],
    fields: Annotated[list[str] | None, typer.Argument(help="FIELD=VALUE of that kind.")] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", help="How long, such as 10s; else until Ctrl-C.")
    ] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Of the cluster; KUBECONFIG by default.")] = None,
) -> None:
    """Break a running cluster on purpose, until Ctrl-C or --for."""
    try:
        faults = Faults(find_folder(kubeconfig))
        if kind == "list":
            for each in faults.list():
                _say(
                    "  ".join(
                        f"{key}={value}" for key, value in each.items() if value not in (None, [], False)
                    )
                )
        elif kind == "clear":
            faults.clear()
        else:
            _hold(faults, kind, parse_fields(kind, fields or []), lasting)
    except (ValueError, FaultRefused, OSError) as error:
        told = _GONE if isinstance(error, ConnectionRefusedError) else in_words(error)
        print(f"simcluster: {told}", file=sys.stderr)  # noqa: T201 -- a command's word
        raise typer.Exit(2) from error


def _hold(faults: Faults, kind: str, fields: dict[str, Any], lasting: str | None) -> None:
    for_s = None if lasting is None else parse_duration("--for", lasting)
    begun = faults.begin(kind, for_s, **fields)
    if kind in INSTANT:
        _say(f"{kind}: done")
        return
    try:
        with begun:
            _say(f"{kind} holds, {f'for {for_s:g} s' if for_s is not None else 'until Ctrl-C'}")
            time.sleep(10**8 if for_s is None else for_s)
    except KeyboardInterrupt:
        _say("undone")


def find_folder(kubeconfig: Path | None) -> Path:
    """The folder of the cluster that a kubeconfig is of; ValueError if it is no simulated one's."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    path = kubeconfig if kubeconfig is not None else Path(named) if named else None
    if path is None:
        raise ValueError(
            "which cluster?\n  give --kubeconfig, or set KUBECONFIG to what `simcluster up` printed"
        )
    folder = read_folder(path)
    if folder is None:
        raise ValueError(f"{path} is not the kubeconfig of a simulated cluster")
    if not folder.is_dir():
        raise ValueError(_GONE)
    return folder


def parse_fields(kind: str, given: list[str]) -> dict[str, Any]:
    """FIELD=VALUE as the interface takes it: durations have a unit, lists have commas."""
    types = {each.name: str(each.type) for each in dataclasses.fields(KINDS[kind])} if kind in KINDS else {}
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals:
            raise ValueError(f"{each!r} is no FIELD=VALUE")
        # `delay=300ms` is as good as `delay_s=0.3`.
        name = f"{name}_s" if name not in types and f"{name}_s" in types else name
        found[name] = _parse_value(name, text, types.get(name, "str"))
    return found


def _parse_value(name: str, text: str, kind: str) -> Any:
    if kind.startswith("tuple"):
        return text.split(",")
    if kind == "bool":
        return {"true": True, "false": False}.get(text, text)
    if name.endswith("_s"):
        seconds = parse_duration(name, text)
        return round(seconds) if kind == "int" else seconds
    if kind in ("int", "float"):
        try:
            return int(text) if kind == "int" else float(text)
        except ValueError:
            raise ValueError(f"{name}: {text!r} is no number") from None
    return text


def parse_duration(name: str, text: str) -> float:
    """Seconds of a text such as 300ms, 10s or 2m; ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{name}: {text!r} is no duration\n  for example 300ms, 10s, 2m")
    return float(found.group(1)) * _UNITS[found.group(2) or "s"]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 -- a command's word
