"""Keeps the certificates of the terminations at hand: follows their Secrets and asks for those that are
missing.

The rule it keeps: a Secret that goes bad or goes away takes nothing away: the last good certificate is served
on. Its methods are called from one thread; only `publish` and `retry` come from others.
"""

import datetime
import logging
import threading
from collections.abc import Callable, Sequence

from kubernetes import client

from demo_server.certificate_store import create_secret, read_secret
from demo_server.ingress_rules import Termination
from demo_server.reflector import Reflector, Snapshot, Source
from demo_server.xds_resources import Certificate

RETRY_S = 2.0
"""Between two attempts to create a Secret."""

log = logging.getLogger(__name__)


class CertificateKeeper:
    """`publish(name, snapshot)` hands over what a Secret's watch says; `retry(name)` says that it is time to
    try again.
    """

    def __init__(
        self,
        api: client.CoreV1Api,
        namespace: str,
        publish: Callable[[str, Snapshot], None],
        retry: Callable[[str], None],
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._publish = publish
        self._retry = retry
        self._reflectors: dict[str, Reflector] = {}
        self._secrets: dict[str, Snapshot] = {}
        self._asked: set[str] = set()
        self._good: dict[str, Certificate] = {}

    def follow(self, terminations: Sequence[Termination]) -> None:
        """Follow the Secrets of these terminations and no others."""
        wanted = {each.secret for each in terminations}
        for name in sorted(wanted - self._reflectors.keys()):
            source = Source(
                f"Secret {name}", self._api.list_namespaced_secret, self._namespace, f"metadata.name={name}"
            )
            reflector = Reflector(source, lambda snapshot, name=name: self._publish(name, snapshot))  # type: ignore[misc]
            self._reflectors[name] = reflector
            reflector.start()
        for name in self._reflectors.keys() - wanted:
            self._reflectors.pop(name).stop()
            for known in (self._secrets, self._good):
                known.pop(name, None)

    def take(self, name: str, snapshot: Snapshot) -> None:
        """A Secret's new snapshot: it, or nothing."""
        self._secrets[name] = snapshot
        if snapshot:
            self._asked.discard(name)

    def allow(self, name: str) -> None:
        """The pause before the next attempt to create this Secret is over."""
        self._asked.discard(name)

    def read(self, terminations: Sequence[Termination], now: datetime.datetime) -> tuple[str, ...]:
        """Bring `certificates` up to date, creating what is missing and wanted; what is wrong, in words."""
        return tuple(problem for each in terminations if (problem := self._read(each, now)) is not None)

    @property
    def certificates(self) -> dict[str, Certificate]:
        """The certificate to serve for each Secret that has or had a good one."""
        return dict(self._good)

    def close(self) -> None:
        """Follow nothing any more."""
        self.follow(())

    def _read(self, wanted: Termination, now: datetime.datetime) -> str | None:
        snapshot = self._secrets.get(wanted.secret)
        if snapshot is None:
            return None
        if not snapshot:
            return self._create(wanted, now)
        read = read_secret(wanted.secret, snapshot[0], now)
        if read.certificate is not None:
            self._good[wanted.secret] = read.certificate
        return read.problem

    def _create(self, wanted: Termination, now: datetime.datetime) -> str | None:
        name = wanted.secret
        if not wanted.self_signed:
            return (
                f"Secret {name} is missing; create it, or let the Ingress ask for a self-signed certificate"
            )
        if name in self._asked:
            return None
        # Until the watch shows it, or the pause is over.
        self._asked.add(name)
        problem = create_secret(self._api, self._namespace, wanted, now)
        timer = threading.Timer(RETRY_S, self._retry, (name,))
        timer.daemon = True
        timer.start()
        return problem
