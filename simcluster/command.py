"""The command `python -m simcluster up` where it is written well: read without typer, whose import takes as long as
an eighth of the start.

The rule it keeps: it reads only what it is sure of: options of `up` by their full names, each with a value of its type
and range. Anything else (a wrong option, `--help`, another command) is None here and for `commands` to answer.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Least and most of the options that are numbers; None where there is no bound.
RANGES: Mapping[str, tuple[int, int | None]] = {
    "nodes": (0, 128),
    "status_only_nodes": (0, 8192),
    "slice_size": (1, 1000),
    "port": (0, 65535),
    "seed": (0, None),
    "ready_fd": (0, None),
    "parent": (0, None),
}
_READERS: Mapping[str, Callable[[str], Any]] = {
    "kubernetes_version": str,
    "profile": str,
    "network": str,
    "remedy": str,
    "kubeconfig": Path,
    "directory": Path,
}
IMAGE = "image"


def read(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The options of `up`, by the names of `begin`'s parameters; None for whatever is not surely right."""
    if arguments[:1] != ["up"]:
        return None
    found: dict[str, Any] = {}
    rest = iter(arguments[1:])
    for argument in rest:
        option, equals, text = argument.partition("=")
        value = text if equals else next(rest, "")
        name = option.removeprefix("--").replace("-", "_")
        if option != f"--{name.replace('_', '-')}" or not value or value.startswith("-"):
            return None
        if name == IMAGE:
            found.setdefault(IMAGE, []).append(value)
        elif name in RANGES and _is_within(value, *RANGES[name]):
            found[name] = int(value)
        elif name in _READERS:
            found[name] = _READERS[name](value)
        else:
            return None
    return found


def _is_within(text: str, least: int, most: int | None) -> bool:
    is_number = text.isascii() and text.isdecimal()
    return is_number and int(text) >= least and (most is None or int(text) <= most)


def begin(
    *,
    image: Sequence[str] = (),
    kubernetes_version: str | None = None,
    profile: str = "fast",
    network: str = "loopback",
    remedy: str | None = None,
    kubeconfig: Path | None = None,
    **given: Any,
) -> int:
    """Run a cluster to its end, `given` being what else `up.Options` has; returns the exit code."""
    # Collecting while modules are loaded finds nothing and takes a sixth of the start; `up` begins it.
    gc.disable()
    # aiohttp reads this machine's authorities when it is imported, an eighth of the start, and here nobody is verified
    # by them. Pods have an environment of their own.
    os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    # Not at the top: `--help` and wrong options need none of it.
    from simcluster import profile as profiles
    from simcluster.kubelet.images import BY_OPTION, Images, parse_binding
    from simcluster.named_kubeconfig import check_place
    from simcluster.network.choice import check
    from simcluster.up import Options, choose_version, run

    try:
        if kubeconfig is not None:
            check_place(kubeconfig)
        options = Options(
            images=Images.bind(map(parse_binding, image), BY_OPTION if remedy is None else remedy),
            version=choose_version(kubernetes_version),
            profile=profiles.choose(profile).name,
            network=check(network),
            kubeconfig=kubeconfig,
            **given,
        )
    except ValueError as error:
        return _refuse(error, 2)
    try:
        return run(options)
    except OSError as error:
        return _refuse(error, 1)


def _refuse(error: Exception, code: int) -> int:
    print(f"simcluster: {in_words(error)}", file=sys.stderr)  # noqa: T201 -- a command's word
    return code


def in_words(error: Exception) -> str:
    """An error as a person says it: the file and what is the matter, without numbers."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
