"""Outcomes of calls that gRPC itself did not make: a call that found no member.

Rule: it looks like any failed call of grpc.Channel. It is the RpcError that a blocking call raises, the
future that `.future()` returns (done, failed), and the response iterator of a streaming call (fails on the
first `next`).
"""

# ruff: noqa: ARG002  # the signatures are those of grpc.Call and grpc.Future

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import grpc


# The stubs give RpcError and Call methods of their own that differ in optionality; at run time RpcError has
# none.
class NoMemberError(grpc.RpcError, grpc.Call, grpc.Future):  # type: ignore[type-arg]  # generic in the stubs only
    """No pod could be called. Code UNAVAILABLE; DEADLINE_EXCEEDED when the time ended while waiting for one, CANCELLED
    when the channel was closed meanwhile.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self._code = code
        self._details = details

    def __str__(self) -> str:
        return f"{self._code.name}: {self._details}"

    def code(self) -> grpc.StatusCode:
        """The gRPC status."""
        return self._code

    def details(self) -> str:
        """Why there was no member, see `situation`."""
        return self._details

    def debug_error_string(self) -> str:
        """As `str`."""
        return str(self)

    def initial_metadata(self) -> tuple[()]:
        """None was received."""
        return ()

    def trailing_metadata(self) -> tuple[()]:
        """None was received."""
        return ()

    def is_active(self) -> bool:
        """It is over."""
        return False

    def time_remaining(self) -> float:
        """None: it is over."""
        return 0.0

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """False: it is over, and the callback will not be called (as grpc.RpcContext has it)."""
        return False

    def cancel(self) -> bool:
        """Too late to cancel."""
        return False

    def cancelled(self) -> bool:
        """It failed; nobody cancelled it."""
        return False

    def running(self) -> bool:
        """It is over."""
        return False

    def done(self) -> bool:
        """It is over."""
        return True

    def result(self, timeout: float | None = None) -> NoReturn:
        """Raises this error."""
        raise self

    def exception(self, timeout: float | None = None) -> NoMemberError:
        """This error."""
        return self

    def traceback(self, timeout: float | None = None) -> Any:
        """Where it was raised, if it was."""
        return self.__traceback__

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Calls it at once: it is over."""
        fn(self)

    def __iter__(self) -> NoMemberError:
        return self

    def __next__(self) -> NoReturn:
        raise self
