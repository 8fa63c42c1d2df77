"""The ingress gateway: follows Ingress, EndpointSlice and Secret objects of its namespace and runs Envoy
accordingly.

The rule it keeps: everything happens in one loop in one thread, fed by a queue: snapshots from the API, the
end of Envoy, a signal. Envoy starts with a complete configuration, and nothing that goes wrong with the API
takes one away.

Least privilege: list and watch `ingresses` and `endpointslices`; get, list and watch the Secrets that are
named, one by one; create `secrets` where certificates are to be made. No Services, no nodes, nothing
cluster-wide; the IngressClass is a name that is compared, not an object that is read.
"""

import logging
import os
import queue
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    from kubernetes import client

    from demo_server.backends import resolve_backend
    from demo_server.certificate_keeper import CertificateKeeper
    from demo_server.cluster_access import AccessError, connect_api, find_namespace
    from demo_server.gateway_settings import Settings, parse_settings
    from demo_server.ingress_rules import Backend, Rules, read_rules
    from demo_server.proxy import Proxy, ProxyError
    from demo_server.readiness import ReadyServer, find_tls_fault, utc_now
    from demo_server.reflector import Reflector, Snapshot, Source
    from demo_server.xds import render_files
    from demo_server.xds_files import XdsFiles
    from demo_server.xds_resources import Certificate, cluster_name
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    from demo_server.extra import explain_absence

    sys.exit(explain_absence("gateway", error))

SHORT_LIFE_S = 5.0
"""An Envoy that ends sooner than this after its start will not do better at the next start."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ingresses:
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class _Slices:
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class _Secret:
    name: str
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class _Retry:
    secret: str


@dataclass(frozen=True, slots=True)
class _Ended:
    code: int


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


_Event = _Ingresses | _Slices | _Secret | _Retry | _Ended | _Stop


class Gateway:
    """One gateway in one namespace. `run` returns its exit code."""

    def __init__(self, settings: Settings, api: client.ApiClient, namespace: str, directory: Path) -> None:
        self._settings = settings
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._files = XdsFiles(directory)
        self._proxy = Proxy(directory, settings.grace_s, lambda code: self._events.put(_Ended(code)))
        self._keeper = CertificateKeeper(
            client.CoreV1Api(api),
            namespace,
            lambda name, snapshot: self._events.put(_Secret(name, snapshot)),
            lambda name: self._events.put(_Retry(name)),
        )
        self._reflectors = self._make_reflectors(api, namespace)
        self._ingresses: Snapshot | None = None
        self._slices: Snapshot | None = None
        self._rules = Rules()
        self._problems: tuple[str, ...] = ()
        self._reached: set[Backend] = set()
        self._down: str | None = "the Kubernetes API has not told the Ingresses and EndpointSlices yet"

    def stop(self) -> None:
        """End gracefully; may be called from a signal handler (a SimpleQueue's put is reentrant)."""
        self._events.put(_Stop())

    def run(self) -> int:
        """Serve until `stop`; 0 after that, 1 where Envoy can not be kept running."""
        for reflector in self._reflectors:
            reflector.start()
        ready = ReadyServer(self._settings.ready, self.find_reason)
        log.info("ready answers on %s", ready.address)
        try:
            return self._loop()
        finally:
            ready.close()
            for reflector in self._reflectors:
                reflector.stop()
            self._keeper.close()
            self._proxy.stop()

    def find_reason(self) -> str | None:
        """Why the gateway is not ready, None if it is. Called from the readiness threads."""
        if self._down is not None:
            return self._down
        rules, certificates = self._rules, self._keeper.certificates
        if not rules.terminations:
            return f"no Ingress of class {self._settings.ingress_class} with tls is known yet"
        unread = [each.secret for each in rules.terminations if each.secret not in certificates]
        if unread:
            return f"Secret {unread[0]} has no usable certificate yet"
        try:
            return self._find_unreached(rules) or self._find_unserved(rules, certificates)
        except ProxyError as error:
            return str(error)

    def _find_unreached(self, rules: Rules) -> str | None:
        for backend in rules.backends:
            if backend not in self._reached:
                if not self._proxy.count(f"^cluster.{cluster_name(backend)}.membership_total$"):
                    return f"backend {backend} has had no endpoint yet"
                self._reached.add(backend)
        return None

    def _find_unserved(self, rules: Rules, certificates: Mapping[str, Certificate]) -> str | None:
        listen = self._settings.listen
        # Asked of our own Envoy: where another program holds the port, that one could show the same certificate.
        if not self._proxy.count("^listener_manager.total_listeners_active$"):
            return f"envoy does not listen on {listen} yet"
        faults = (
            find_tls_fault(listen, each.hosts[0], certificates[each.secret].chain.encode())
            for each in rules.terminations
        )
        return next((fault for fault in faults if fault is not None), None)

    def _loop(self) -> int:
        while True:
            stopping = False
            for event in self._take_events():
                if isinstance(event, _Stop):
                    stopping = True
                elif isinstance(event, _Ended) and not self._may_restart(event.code):
                    return 1
                else:
                    self._take(event)
            if stopping:
                self._drain()
                return 0
            self._configure()

    def _take_events(self) -> Iterator[_Event]:
        """Wait for an event, then give all that have come in: they become one configuration."""
        yield self._events.get()
        while not self._events.empty():
            yield self._events.get()

    def _take(self, event: _Event) -> None:
        match event:
            case _Ingresses(snapshot):
                self._ingresses = snapshot
            case _Slices(snapshot):
                self._slices = snapshot
            case _Secret(name, snapshot):
                self._keeper.take(name, snapshot)
            case _Retry(secret):
                self._keeper.allow(secret)

    def _configure(self) -> None:
        if self._ingresses is None or self._slices is None:
            return
        rules = read_rules(self._ingresses, self._settings.ingress_class)
        self._keeper.follow(rules.terminations)
        problems = [*rules.problems, *self._keeper.read(rules.terminations, utc_now())]
        found = {backend: resolve_backend(backend, self._slices) for backend in rules.backends}
        problems.extend(each.problem for each in found.values() if each.problem is not None)
        addresses = {backend: each.addresses for backend, each in found.items()}
        files = render_files(rules, addresses, self._keeper.certificates, self._settings.listen)
        changed = self._files.replace(files)
        self._rules = rules
        self._tell(problems)
        if changed:
            counted = ", ".join(f"{backend} {len(each)}" for backend, each in addresses.items())
            log.info("wrote %s; endpoints: %s", ", ".join(changed), counted)
        if self._down is not None:
            self._proxy.start()
            self._down = None

    def _may_restart(self, code: int) -> bool:
        self._down = f"envoy ended with code {code}"
        if time.monotonic() - self._proxy.started_s < SHORT_LIFE_S:
            log.error("envoy ended with code %d right after its start; its reason is above", code)
            return False
        log.warning("envoy ended with code %d, starting it again", code)
        return True

    def _drain(self) -> None:
        log.info("stopping: calls in flight have %g s", self._settings.grace_s)
        serving = self._down is None
        self._down = "the gateway is stopping"
        if serving:
            self._proxy.drain()

    def _tell(self, problems: list[str]) -> None:
        for problem in problems:
            if problem not in self._problems:
                log.warning("%s", problem)
        self._problems = tuple(problems)

    def _make_reflectors(self, api: client.ApiClient, namespace: str) -> tuple[Reflector, ...]:
        ingresses = Source("ingresses", client.NetworkingV1Api(api).list_namespaced_ingress, namespace)
        slices = Source(
            "endpointslices", client.DiscoveryV1Api(api).list_namespaced_endpoint_slice, namespace
        )
        return (
            Reflector(ingresses, lambda snapshot: self._events.put(_Ingresses(snapshot))),
            Reflector(slices, lambda snapshot: self._events.put(_Slices(snapshot))),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 0 after a graceful stop."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    settings = parse_settings(argv, os.environ)
    try:
        api = connect_api(os.environ, settings.kubeconfig)
        namespace = settings.namespace if settings.namespace is not None else find_namespace(os.environ)
    except AccessError as error:
        log.error("%s", error)  # noqa: TRY400 - a user's mistake: the message says it, a traceback hides it
        return 2
    with tempfile.TemporaryDirectory(prefix="gateway-", dir=settings.directory) as directory:
        gateway = Gateway(settings, api, namespace, Path(directory))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: gateway.stop())
        return gateway.run()


if __name__ == "__main__":
    sys.exit(main())
