"""Metrics in other systems' terms: what a scrape shows of a real pool with real calls."""

import gc
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from kube_grpc import hooks
from kube_grpc.adapters import opentelemetry, prometheus
from kube_grpc.channel import Channel
from kube_grpc.endpoints import EndpointSet
from kube_grpc.options import Options
from kube_grpc.pool import Pool
from kube_grpc.target import Target


@pytest.fixture
def open_channel(log: Any) -> Iterator[Any]:
    """Opens a channel over one pod, whose events go to a hook and to the log; all are closed afterwards."""
    opened: list[Channel] = []

    def begin(backend: Any, hook: Any) -> Channel:
        def both(event: Any) -> None:
            hook(event)
            log(event)

        pool = Pool(Target("greeter", "shop", 50051), Options(hook=both), rng=random.Random(1))
        channel = Channel.over(SimpleNamespace(pool=pool), pool.close)  # type: ignore[arg-type]
        opened.append(channel)
        pool.found(EndpointSet((backend.endpoint,), slices=1))
        log.wait_for(hooks.MemberReady)
        return channel

    yield begin
    for channel in opened:
        channel.close()


def hold_call(channel: Channel, backend: Any) -> Any:
    held = channel.unary_unary("/test.Echo/Say").future(b"hold")
    backend.wait_until(lambda: backend.held == 1)
    return held


def test_prometheus_scrapes_members_calls_and_events(open_channel: Any, make_backend: Any) -> None:
    """One serving member, one call in flight, one event of each kind; a channel that was dropped is gone."""
    backend, registry = make_backend("a"), CollectorRegistry()
    metrics = prometheus.Metrics(registry)
    channel = open_channel(backend, metrics)
    metrics.follow(channel)
    held = hold_call(channel, backend)

    page = generate_latest(registry).decode()
    assert 'kube_grpc_members{serving="true",state="READY",target="greeter.shop:50051"} 1.0' in page
    assert 'kube_grpc_calls_in_flight{pod="a",target="greeter.shop:50051"} 1.0' in page
    assert 'kube_grpc_events_total{event="MemberAdded",target="greeter.shop:50051"} 1.0' in page
    assert 'kube_grpc_events_total{event="MemberReady",target="greeter.shop:50051"} 1.0' in page

    backend.gate.set()
    held.result()


def test_a_dropped_channel_is_forgotten() -> None:
    """Following a channel does not keep it."""

    class Dropped:
        target = "x"

        def members(self) -> tuple[Any, ...]:
            raise AssertionError("it is gone")

    registry = CollectorRegistry()
    metrics = prometheus.Metrics(registry)
    metrics.follow(Dropped())
    gc.collect()

    assert b"kube_grpc_members{" not in generate_latest(registry)


def test_opentelemetry_observes_members_calls_and_events(open_channel: Any, make_backend: Any) -> None:
    """The same three, as instruments."""
    backend, reader = make_backend("a"), InMemoryMetricReader()
    meter = MeterProvider(metric_readers=[reader]).get_meter("test")
    metrics = opentelemetry.Metrics(meter)
    channel = open_channel(backend, metrics)
    metrics.follow(channel)
    held = hold_call(channel, backend)

    data = reader.get_metrics_data()
    assert data is not None
    points = {
        (metric.name, *sorted(point.attributes.items())): point.value  # type: ignore[union-attr]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    target = ("target", "greeter.shop:50051")
    assert points["kube_grpc.members", ("serving", True), ("state", "READY"), target] == 1
    assert points["kube_grpc.calls_in_flight", ("pod", "a"), target] == 1
    assert points["kube_grpc.events", ("event", "MemberReady"), target] == 1

    backend.gate.set()
    held.result()
