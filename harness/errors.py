"""Every exception of the harness, by whose fault it is.

Rule: a message says what was wrong, where, what was allowed and what to do; it is read by somebody who did
not write the harness. `suggest` and `located` give all of them one shape.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """What every error of the harness can be caught as."""


class ScenarioError(HarnessError):
    """The scenario file is wrong: its author can mend it."""


class ManifestError(HarnessError):
    """A manifest or a kustomization that a scenario names can not be used."""


class SettingsError(HarnessError):
    """An option or an ini value is wrong."""


class SampleError(HarnessError):
    """A line that a client pod printed is not a sample."""


class HistoryError(HarnessError):
    """A saved history can not be read back."""


class ClusterError(HarnessError):
    """The cluster could not be made, reached or removed."""


class StepError(HarnessError):
    """A step of a scenario could not be carried out on the cluster."""


def located(path: str, line: int | None, message: str, hints: Iterable[str] = ()) -> str:
    """`path:line: message`, then each hint on a line of its own, indented by two."""
    where = path if line is None else f"{path}:{line}"
    return "\n".join([f"{where}: {message}", *(f"  {hint}" for hint in hints)])


def suggest(word: str, known: Iterable[str], *, what: str) -> list[str]:
    """Hints for a word that is not known: all that are, and the nearest one if there is one."""
    names = sorted(known)
    hints = [f"known {what}: {', '.join(names) if names else 'none'}"]
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if not near:
        near = [name for name in names if sorted(name) == sorted(word)]
    if near:
        hints.append(f'did you mean "{near[0]}"?')
    return hints


class ApiError(ClusterError):
    """The Kubernetes API refused a request.

    `status` is the HTTP status, `reason` the API's one-word reason.
    """

    def __init__(self, status: int, reason: str, message: str, *, request: str) -> None:
        super().__init__(f"{request}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
