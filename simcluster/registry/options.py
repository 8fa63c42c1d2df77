"""What a writer may ask for beside the object itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

FieldValidation = Literal["Ignore", "Warn", "Strict"]


def _ignore(_text: str) -> None:
    """Give a warning to nobody."""


Admit = Callable[[dict[str, Any], dict[str, Any] | None], None]


def admit_all(_new: dict[str, Any], _old: dict[str, Any] | None) -> None:
    """Let everybody write everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The options of a write, as in the query of an HTTP request.

    `warn` is told what the client should know although the write succeeds. `complaints` are what its body says twice.
    `is_patch`: what is written was made of what was there. `admit` is asked, with the new state and the old, whether
    this writer may write it.
    """

    dry_run: bool = False
    field_validation: FieldValidation = "Strict"
    field_manager: str = "simcluster"
    force: bool = False
    warn: Callable[[str], None] = _ignore
    complaints: tuple[str, ...] = ()
    is_patch: bool = False
    admit: Admit = admit_all

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens to warnings; controllers do not."""
        return self.warn is not _ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """The options of a deletion; None means unset."""

    grace_s: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: str | None = None
    dry_run: bool = False
