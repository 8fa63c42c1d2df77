"""Images of a simulated cluster: names bound to commands of this machine. Pure.

The rule it keeps: a name means what it would mean to a container run-time (`greeter` is
`docker.io/library/greeter:latest`); a name that is not bound can not be pulled, and the message lists those
that are.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_PYTHONS = ("python", "python3", sys.executable)


class BindingError(ValueError):
    """A binding that can not be understood; the message says what one looks like."""


def parse_binding(text: str) -> tuple[str, tuple[str, ...]]:
    """`NAME=COMMAND` as name and argument list; the command is split as a shell would, but none runs it."""
    name, separator, command = text.partition("=")
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise BindingError(
            f'image "{text}": {error}\n  expected: NAME=COMMAND, for example {_EXAMPLE}'
        ) from None
    if argv[:1] == (STATUS_ONLY,) and len(argv) > 1:
        raise BindingError(
            f'image "{text}": "{STATUS_ONLY}" takes no arguments: no process is started for it'
        )
    if not separator or not name or not argv:
        raise BindingError(f'image "{text}": expected NAME=COMMAND, for example {_EXAMPLE}')
    return name, argv


# Instead of a command: a pod of such images is Running and Ready, and has no process.
STATUS_ONLY = "status-only"
BY_OPTION = "bind one with --image 'NAME=COMMAND'"
_EXAMPLE = "'greeter:dev=python -m demo_server.server'"


def normalize(name: str) -> str:
    """The full name: registry, repository and tag (or digest)."""
    head, slash, rest = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in head and ":" not in head and head != "localhost":
        name = f"docker.io/{name}"
    elif head == "docker.io" and "/" not in rest:
        name = f"docker.io/library/{rest}"
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"


@dataclass(frozen=True, slots=True)
class Images:
    """What is bound: full name → argument list. `given` keeps the names as people wrote them; `remedy` says how one
    more, NAME, is bound by whoever started this cluster.
    """

    commands: Mapping[str, tuple[str, ...]]
    given: tuple[str, ...] = ()
    remedy: str = BY_OPTION

    @classmethod
    def bind(cls, bindings: Iterable[tuple[str, tuple[str, ...]]], remedy: str = BY_OPTION) -> Images:
        """The images of these bindings; the last one of a name counts."""
        pairs = list(bindings)
        given = tuple(dict.fromkeys(name for name, _ in pairs))
        return cls({normalize(name): argv for name, argv in pairs}, given, remedy)

    def find(self, name: str) -> tuple[str, ...] | None:
        """The command that the image stands for; None if it is not bound to one."""
        found = self.commands.get(normalize(name))
        return None if found == (STATUS_ONLY,) else found

    def are_status_only(self, pod: Mapping[str, Any]) -> bool:
        """Whether no container of a pod is to have a process."""
        spec = pod["spec"]
        every = [*spec["containers"], *(spec.get("initContainers") or ())]
        return all(self.commands.get(normalize(each["image"])) == (STATUS_ONLY,) for each in every)

    def explain_absence(self, name: str) -> str:
        """Why that image can not be pulled, and what could."""
        if normalize(name) in self.commands:
            return (
                f'failed to pull image "{name}": it is bound to {STATUS_ONLY}, so it starts no process; a pod has '
                "either no process at all or one for each of its containers"
            )
        known = ", ".join(sorted(self.given)) if self.given else "none"
        return (
            f'failed to pull image "{name}": {normalize(name)}: not found: a simulated cluster runs images that are '
            f"bound to commands; known images: {known}; {self.remedy.replace('NAME', name)}"
        )

    def modules(self) -> list[str]:
        """The Python modules that the images run with `-m`, each once."""
        found = []
        for argv in self.commands.values():
            rest = [part for part in argv[1:3] if part != "-u"] if argv[0] in _PYTHONS else []
            if rest[:1] == ["-m"]:
                found.append(argv[argv.index("-m") + 1])
        return list(dict.fromkeys(found))

    def has_python(self) -> bool:
        """Whether any image is a Python program."""
        return any(argv[0] in _PYTHONS for argv in self.commands.values())
