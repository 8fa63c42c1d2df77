"""What feeds a pool with endpoints, as the options ask for it."""

from __future__ import annotations

import random
from typing import Protocol

from kube_grpc import target as targets
from kube_grpc.access import Access
from kube_grpc.fallback import Fallback
from kube_grpc.options import Options
from kube_grpc.poll import Poll
from kube_grpc.slices import SliceReader
from kube_grpc.target import Target
from kube_grpc.watch import Pace, Report, Watch


class Worker(Protocol):
    """Something with a thread of its own."""

    def run(self) -> None:
        """Runs until `stop`."""
        ...

    def stop(self) -> None:
        """From any thread: end `run` soon. Again is no error."""
        ...


class Discovery:
    """A watch or a poll, with DNS where that tells nothing."""

    def __init__(self, source: Watch | Poll, fallback: Fallback | None) -> None:
        self.run, self.stop, self.doubt = source.run, source.stop, source.doubt
        self._source = source
        self._fallback = fallback

    def hurry(self) -> None:
        """From any thread: calls find nobody, and what was told last may be out of date."""
        self._source.hurry()
        if self._fallback is not None:
            self._fallback.hurry()


def open_access(options: Options) -> Access:
    """The way to the Kubernetes API that the options name; AccessError where there is none."""
    return Access(api_client=options.api_client, kubeconfig=options.kubeconfig, context=options.context)


def find_target(text: str, access: Access) -> Target:
    """The target as written, in the namespace that is one's own where it names none; TargetError."""
    return targets.parse(text, namespace=None if targets.has_namespace(text) else access.find_namespace())


def make_discovery(
    access: Access, target: Target, options: Options, report: Report, rng: random.Random
) -> Discovery:
    """A watch or a poll of the target's EndpointSlices that tells `report`."""
    fallback = None
    if options.dns_fallback:
        report = fallback = Fallback(report, target, authority=options.dns_authority)
    reader = SliceReader(access, target.namespace, target.service)
    if options.mode == "watch":
        pace = Pace(connection_s=options.watch_timeout_s)
        return Discovery(Watch(reader, target.port, report, pace=pace, rng=rng), fallback)
    poll = Poll(reader, target.port, report, interval_s=options.refresh_interval_s, rng=rng)
    return Discovery(poll, fallback)
