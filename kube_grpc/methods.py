"""What multi-callables are made of, and the multi-callable of each member.

Rule: one Method for equal arguments, in a pool: however many channels and stubs are made over it, a member keeps one
multi-callable for each method that was called.
"""

from __future__ import annotations

import threading
from typing import Any

from kube_grpc.member import Member


class Method:
    """What a multi-callable is made of; compared by identity. `kind` is the method of grpc.Channel that makes
    it.
    """

    __slots__ = ("is_registered", "kind", "name", "request_serializer", "response_deserializer")

    def __init__(
        self, kind: str, name: str, serializer: Any, deserializer: Any, *, is_registered: bool
    ) -> None:
        self.kind = kind
        self.name = name
        self.request_serializer = serializer
        self.response_deserializer = deserializer
        self.is_registered = is_registered

    def bind(self, member: Member) -> Any:
        """The multi-callable of that member's channel; made once per member and shared by all stubs."""
        bound = member.methods.get(self)
        if bound is None:
            # `_registered_method` is what generated stubs pass: gRPC then looks the method up once, not in
            # each call.
            bound = getattr(member.channel, self.kind)(
                self.name,
                self.request_serializer,
                self.response_deserializer,
                _registered_method=self.is_registered,
            )
            member.methods[self] = bound
        return bound


class Methods:
    """One Method for equal arguments, however many stubs are made: members keep one multi-callable for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[Any, ...], Method] = {}

    def intern(
        self,
        kind: str,
        name: str,
        serializer: Any,
        deserializer: Any,
        is_registered: bool | None,  # noqa: FBT001  # as it comes
    ) -> Method:
        """The Method of these arguments."""
        key = (kind, name, serializer, deserializer, bool(is_registered))
        with self._lock:
            if key not in self._known:
                self._known[key] = Method(
                    kind, name, serializer, deserializer, is_registered=bool(is_registered)
                )
            return self._known[key]
