"""Metrics for OpenTelemetry; needs the extra `opentelemetry`.

    metrics = kube_grpc.adapters.opentelemetry.Metrics()
    channel = kube_grpc.Channel("greeter.default:50051", hook=metrics)
    metrics.follow(channel)

Rule: as in `prometheus`: what is now is observed when it is asked for, what happened is counted.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from kube_grpc.hooks import Event


class Metrics:
    """A hook and instruments: kube_grpc.members, kube_grpc.calls_in_flight, kube_grpc.events."""

    def __init__(self, meter: Meter | None = None) -> None:
        self._channels: weakref.WeakSet[Any] = weakref.WeakSet()
        meter = get_meter("kube_grpc") if meter is None else meter
        self._events = meter.create_counter(
            "kube_grpc.events", description="What happened to pools, by kind."
        )
        meter.create_observable_gauge("kube_grpc.members", [self._observe_members], description="Members.")
        meter.create_observable_gauge(
            "kube_grpc.calls_in_flight", [self._observe_calls], description="Calls under way."
        )

    def __call__(self, event: Event) -> None:
        """The hook."""
        self._events.add(1, {"target": event.target, "event": type(event).__name__})

    def follow(self, channel: Any) -> None:
        """Observe the members of a kube_grpc.Channel or kube_grpc.aio.Channel."""
        self._channels.add(channel)

    def _observe_members(self, _options: CallbackOptions) -> Iterator[Observation]:
        for channel in tuple(self._channels):
            tally = Counter((view.state, view.is_serving) for view in channel.members())
            for (state, serving), count in tally.items():
                yield Observation(count, {"target": channel.target, "state": state, "serving": serving})

    def _observe_calls(self, _options: CallbackOptions) -> Iterator[Observation]:
        for channel in tuple(self._channels):
            for view in channel.members():
                pod = view.pod if view.pod is not None else view.peer
                yield Observation(view.in_flight, {"target": channel.target, "pod": pod})
