"""DNS where the Kubernetes API tells nothing: so that a missing right, or an API that is away at start, is no outage.

Rule: DNS is used only as long as the API has never told the endpoints; or while it fails and none of those it told can
be reached, beside them. The API goes on being asked, and its first answer replaces what DNS gave. The pool then has one
member more, the Service's DNS name, which gRPC resolves: the cluster IP of an ordinary Service (one pod gets all
calls), or all pods of a headless one, as gRPC sees them by itself.

A named port means nothing to DNS without the API: then there is no fallback.
"""

from __future__ import annotations

import threading

from kube_grpc.endpoints import Endpoint, EndpointSet
from kube_grpc.errors import DiscoveryError
from kube_grpc.target import Target
from kube_grpc.watch import Report

_NOTE = "endpoints come from DNS, as the Kubernetes API tells none: {host} may be one pod or all of them"


class Fallback:
    """A Report that passes everything on, and adds the Service's DNS name where it is needed."""

    def __init__(self, report: Report, target: Target, *, authority: str | None) -> None:
        self._report = report
        self._by_name = resolve_by_name(target, authority)
        self._told: EndpointSet | None = None
        self._is_failing = False
        self._is_fallen_back = False
        self._lock = threading.Lock()  # Its two callers' sets must not overtake one another.

    def found(self, wanted: EndpointSet) -> None:
        """The API has told: DNS is not needed any more."""
        with self._lock:
            self._told = wanted
            self._is_failing = self._is_fallen_back = False
            self._report.found(wanted)

    def works(self) -> None:
        """See watch.Report."""
        self._is_failing = False
        self._report.works()

    def failed(self, error: DiscoveryError) -> None:
        """The API tells nothing: by name, if it never did."""
        self._is_failing = True
        if self._told is None:
            # First: a call that does not wait would fail between the two.
            self._fall_back()
        self._report.failed(error)

    def hurry(self) -> None:
        """From any thread: calls find nobody. By name, if the API does not tell who is there now."""
        if self._is_failing:
            self._fall_back()

    def _fall_back(self) -> None:
        with self._lock:
            if self._is_fallen_back or self._by_name is None:
                return
            self._is_fallen_back = True
            told = EndpointSet() if self._told is None else self._told
            both = (*told.endpoints, *self._by_name.endpoints)
            self._report.found(EndpointSet(both, told.slices, self._by_name.notes))


def resolve_by_name(target: Target, authority: str | None) -> EndpointSet | None:
    """One endpoint that stands for the Service's DNS name, asked of the DNS server `authority` (host:port, None for the
    system's); None for a named port.
    """
    if not isinstance(target.port, int):
        return None
    domain = "cluster.local" if target.domain is None else target.domain
    host = f"{target.service}.{target.namespace}.svc.{domain}"
    server = "" if authority is None else authority
    endpoint = Endpoint(f"dns://{server}/{host}", target.port)
    return EndpointSet((endpoint,), notes=(_NOTE.format(host=host),))
