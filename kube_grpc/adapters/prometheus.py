"""Metrics for Prometheus; needs the extra `prometheus`.

    metrics = kube_grpc.adapters.prometheus.Metrics()
    channel = kube_grpc.Channel("greeter.default:50051", hook=metrics)
    metrics.follow(channel)

Rule: what is now (members, calls in flight) is read from the channel when it is scraped; what happened (events of the
hook) is counted. A channel that nobody else holds is forgotten.
"""

from __future__ import annotations

import weakref
from collections import Counter as Tally
from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric

from kube_grpc.hooks import Event


class Metrics:
    """A hook and a collector: kube_grpc_members, kube_grpc_calls_in_flight, kube_grpc_events_total."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._channels: weakref.WeakSet[Any] = weakref.WeakSet()
        self._events = Counter(
            "kube_grpc_events", "What happened to pools, by kind.", ("target", "event"), registry=registry
        )
        registry.register(self)

    def __call__(self, event: Event) -> None:
        """The hook."""
        self._events.labels(event.target, type(event).__name__).inc()

    def follow(self, channel: Any) -> None:
        """Show the members of a kube_grpc.Channel or kube_grpc.aio.Channel."""
        self._channels.add(channel)

    def collect(self) -> Iterator[Metric]:
        """What is now, for a scrape."""
        members = GaugeMetricFamily("kube_grpc_members", "Members, by connectivity and role.", labels=_LABELS)
        calls = GaugeMetricFamily("kube_grpc_calls_in_flight", "Calls under way.", labels=("target", "pod"))
        for channel in tuple(self._channels):
            target, views = channel.target, channel.members()
            tally = Tally((view.state, str(view.is_serving).lower()) for view in views)
            for (state, serving), count in tally.items():
                members.add_metric((target, state, serving), count)
            for view in views:
                calls.add_metric((target, view.pod if view.pod is not None else view.peer), view.in_flight)
        yield from (members, calls)


_LABELS = ("target", "state", "serving")
