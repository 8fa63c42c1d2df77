"""The quick way to read `up`'s options: what it reads, typer reads alike, and whatever it leaves is typer's."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from simcluster import command, commands, up

WRITTEN = {
    "image": "greeter:dev=python -m demo_server.server",
    "kubeconfig": "here/kubeconfig",
    "kubernetes_version": "v1.35",
    "profile": "faithful",
    "nodes": "2",
    "status_only_nodes": "3",
    "network": "auto",
    "slice_size": "100",
    "seed": "7",
    "port": "6443",
    "directory": "/tmp/here",
    "ready_fd": "5",
    "parent": "77",
    "remedy": "name it",
}


def read_by_typer(arguments: list[str]) -> dict[str, Any]:
    """What typer hands to `up`, without what was not given."""
    group: Any = typer.main.get_command(commands.app)
    up = group.commands["up"]
    with up.make_context("up", arguments[1:]) as context:
        given = {each: value for each, value in context.params.items() if value is not None}
    defaults = {name: each.default for name, each in inspect.signature(commands.up).parameters.items()}
    return {name: value for name, value in given.items() if value != defaults[name]}


@pytest.mark.parametrize("joint", ["=", None])
def test_all_options_are_read_as_typer_reads_them(joint: str | None) -> None:
    """Both forms of every option that `up` has."""
    assert set(WRITTEN) == set(inspect.signature(commands.up).parameters)
    arguments = ["up"]
    for name, text in WRITTEN.items():
        option = f"--{name.replace('_', '-')}"
        arguments += [f"{option}={text}"] if joint else [option, text]
    found = command.read(arguments)
    assert found == read_by_typer(arguments) | {"image": [WRITTEN["image"]]}
    assert isinstance(found["directory"], Path)


def test_defaults_are_the_same_for_both() -> None:
    """What is not given is the same cluster, whoever read the options."""
    quick = {
        name: each.default
        for name, each in inspect.signature(command.begin).parameters.items()
        if name != "image"
    }
    fields = {each.name: each.default for each in dataclasses.fields(up.Options)}
    for name, each in inspect.signature(commands.up).parameters.items():
        if name != "image":
            assert each.default == quick.get(name, fields.get(name)), name


def test_images_add_up() -> None:
    """An image may be given several times; no option at all is right, too."""
    assert command.read(["up", "--image", "a=b", "--image", "c=d"]) == {"image": ["a=b", "c=d"]}
    assert command.read(["up"]) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--help"], ["fault", "list"], ["network"], ["up", "--help"], ["up", "here"], ["up", "--nodes"],
        ["up", "--nodes", "129"], ["up", "--nodes", "two"], ["up", "--nodes", "-1"], ["up", "--nodes="],
        ["up", "--slice-size", "0"], ["up", "--slice_size", "1"], ["up", "--nod", "1"], ["up", "--port", "²"],
        ["up", "--image", "--nodes"], ["up", "--no-such", "1"], ["up", "-n", "1"], ["up", "--", "a"],
    ],
)  # fmt: skip
def test_what_is_not_surely_right_is_left(arguments: list[str]) -> None:
    """It is for typer to refuse or to answer."""
    assert command.read(arguments) is None


@pytest.mark.parametrize("option", ["--nodes=300", "--seed=x"])
def test_what_is_left_is_refused_in_typers_words(option: str) -> None:
    """With exit code 2 and the option's name."""
    found = subprocess.run(
        [sys.executable, "-m", "simcluster", "up", option], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert f"Invalid value for '{option.partition('=')[0]}'" in found.stderr


def test_what_is_read_starts_without_typer() -> None:
    """The command's modules up to the start know typer only where somebody needs its words."""
    code = "import sys, simcluster.__main__, simcluster.up; print({'typer', 'click'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_first_answer_needs_nothing_of_what_works_behind_the_api() -> None:
    """What is imported later is not imported before."""
    code = (
        "import sys, simcluster.__main__, simcluster.up;"
        "from simcluster.assembly import LATER;"
        "print(sorted({*LATER, 'dnslib', 'simcluster.kubelet.worker'} & set(sys.modules)), len(LATER) > 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[] True\n"
