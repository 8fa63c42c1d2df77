"""The command line: `python -m simcluster up`.

The rule it keeps: options are checked before anything is started, and a wrong one says what would be right.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from simcluster.faults.commands import fault

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


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
        int, typer.Option(min=0, max=128, help="How many nodes share this machine; their pods are processes.")
    ] = 1,
    status_only_nodes: Annotated[
        int, typer.Option(min=0, max=8192, help="How many further nodes run no processes, only status.")
    ] = 0,
    network: Annotated[
        str, typer.Option(help="loopback, namespace (one for each pod), or auto: namespace where it works.")
    ] = "loopback",
    slice_size: Annotated[
        int, typer.Option(min=1, max=1000, help="Endpoints in an EndpointSlice, at most.")
    ] = 2,
    seed: Annotated[int | None, typer.Option(help="Makes what is left to chance repeatable.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the API; 0 takes a free one.")] = 0,
    directory: Annotated[
        Path | None, typer.Option(help="Where to keep logs and pods' files; by default a temporary folder.")
    ] = None,
    ready_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start a cluster, print how to reach it, and stay until Ctrl-C."""
    # Collecting while modules are loaded finds nothing and takes a sixth of the start; `up` begins it.
    gc.disable()
    # aiohttp reads this machine's authorities when it is imported, an eighth of the start, and here nobody is verified
    # by them. Pods have an environment of their own.
    os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    # Not at the top: `--help` and wrong options need none of it.
    from simcluster import profile as profiles
    from simcluster.kubelet.images import Images, parse_binding
    from simcluster.network.choice import check
    from simcluster.up import Options, choose_version, run

    try:
        options = Options(
            images=Images.bind(parse_binding(each) for each in image or ()),
            version=choose_version(kubernetes_version),
            profile=profiles.choose(profile).name,
            nodes=nodes, status_only_nodes=status_only_nodes, network=check(network), slice_size=slice_size,
            kubeconfig=kubeconfig, directory=directory, seed=seed, port=port,
            ready_fd=ready_fd, parent=parent,
        )  # fmt: skip
    except ValueError as error:
        print(f"simcluster: {error}", file=sys.stderr)  # noqa: T201 -- a command's word
        raise typer.Exit(2) from error
    try:
        code = run(options)
    except OSError as error:
        print(f"simcluster: {error}", file=sys.stderr)  # noqa: T201 -- a command's word
        raise typer.Exit(1) from error
    raise typer.Exit(code)


@app.command()
def network() -> None:
    """Say which network `--network auto` takes on this machine, and why."""
    from simcluster.network.choice import AUTO, choose

    chosen = choose(AUTO)
    print(f"{chosen.name} ({chosen.reason})")  # noqa: T201 -- a command's word


app.command(name="fault")(fault)


if __name__ == "__main__":
    app()
