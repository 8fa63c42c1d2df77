"""All commands of `python -m simcluster`, with their help and their words for what is wrong.

The rule it keeps: options are checked before anything is started, and a wrong one says what would be right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from simcluster import command
from simcluster.faults.commands import fault

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def _within(option: str) -> dict[str, Any]:
    """The bounds of an option that is a number, as typer takes them."""
    least, most = command.RANGES[option]
    return {"min": least, "max": most}


@app.callback()
def describe() -> None:
    """A Kubernetes cluster simulated in one process: a real API over TLS, and pods that are real
    processes.
    """


@app.command()
def up(
    image: Annotated[
        list[str] | None,
        typer.Option(help="NAME=COMMAND: what the image NAME stands for; may be given several times."),
    ] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Where to write the kubeconfig.")] = None,
    kubernetes_version: Annotated[
        str | None, typer.Option(help="The minor to be like, such as v1.36; the newest known by default.")
    ] = None,
    profile: Annotated[str, typer.Option(help="The delays: fast, or faithful to a real cluster.")] = "fast",
    nodes: Annotated[
        int,
        typer.Option(**_within("nodes"), help="How many nodes share this machine; their pods are processes."),
    ] = 1,
    status_only_nodes: Annotated[
        int,
        typer.Option(
            **_within("status_only_nodes"), help="How many further nodes run no processes, only status."
        ),
    ] = 0,
    network: Annotated[
        str, typer.Option(help="loopback, namespace (one for each pod), or auto: namespace where it works.")
    ] = "loopback",
    slice_size: Annotated[
        int, typer.Option(**_within("slice_size"), help="Endpoints in an EndpointSlice, at most.")
    ] = 2,
    seed: Annotated[int | None, typer.Option(help="Makes what is left to chance repeatable.")] = None,
    port: Annotated[int, typer.Option(**_within("port"), help="Of the API; 0 takes a free one.")] = 0,
    directory: Annotated[
        Path | None, typer.Option(help="Where to keep logs and pods' files; by default a temporary folder.")
    ] = None,
    ready_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    remedy: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start a cluster, print how to reach it, and stay until Ctrl-C."""
    code = command.begin(
        image=image or (), kubernetes_version=kubernetes_version, profile=profile, nodes=nodes,
        status_only_nodes=status_only_nodes, network=network, slice_size=slice_size, kubeconfig=kubeconfig,
        directory=directory, seed=seed, port=port, ready_fd=ready_fd, parent=parent, remedy=remedy,
    )  # fmt: skip
    raise typer.Exit(code)


@app.command()
def network() -> None:
    """Say which network `--network auto` takes on this machine, and why."""
    from simcluster.network.choice import AUTO, choose

    chosen = choose(AUTO)
    print(f"{chosen.name} ({chosen.reason})")  # noqa: T201 -- a command's word


app.command(name="fault")(fault)
