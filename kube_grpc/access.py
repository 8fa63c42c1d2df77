"""How this process reaches a Kubernetes API: which credentials, and which namespace is its own.

Rule: the first of these that applies, and no other: the `api_client` argument; the `kubeconfig` / `context`
arguments; the environment's KUBECONFIG; the pod's service account; ~/.kube/config. What was named explicitly
and does not work is an error, not a reason to try the next. The `kubernetes` package's process-wide default
configuration is neither read nor changed. `kubernetes` is imported on first use, not with this package: it
takes 0.3 s and 45 MB.

Does not send requests, with one exception that is the library's: a kubeconfig may run a credential plugin.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kube_grpc.errors import AccessError

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_TRIED = (
    "  tried in this order: argument api_client, arguments kubeconfig and context, environment KUBECONFIG,"
    " the service account of the pod, ~/.kube/config\n"
    "  do: pass one of the arguments, set KUBECONFIG, or run in a pod that mounts its service account's token"
)


class Access:
    """The API client of one pool, and how to make it anew when its credentials have run out."""

    def __init__(
        self,
        *,
        api_client: Any = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._given = api_client
        self._environ = os.environ if environ is None else environ
        self._context = context
        self._kubeconfig = kubeconfig if kubeconfig is not None else self._environ.get("KUBECONFIG") or None
        self._client = api_client if api_client is not None else self._make()

    @property
    def client(self) -> Any:
        """A kubernetes.client.ApiClient (untyped: the library has no annotations here)."""
        return self._client

    @property
    def host(self) -> str:
        """The API server's URL, for messages."""
        return str(self._client.configuration.host)

    def renew(self) -> bool:
        """Read the credentials again from where they came, as tokens are rotated. False if the client was
        given.
        """
        if self._given is not None:
            return False
        old, self._client = self._client, self._make()
        _close(old)
        return True

    def forget_connections(self) -> None:
        """In the child of a fork: the connections of a client that was given are the parent's, too."""
        self._client.rest_client.pool_manager.clear()

    def close(self) -> None:
        """Close the client unless it was given."""
        if self._given is None:
            _close(self._client)

    def find_namespace(self) -> str | None:
        """The namespace that a target without one means: the kubeconfig context's, as kubectl (so "default"
        if it names none), or the pod's. None where neither is known.
        """
        if self._given is None and not self._is_in_cluster():
            return self._context_namespace()
        if NAMESPACE_FILE.is_file():
            return NAMESPACE_FILE.read_text().strip()
        return None

    def _is_in_cluster(self) -> bool:
        is_named = self._kubeconfig is not None or self._context is not None
        return (
            not is_named and bool(self._environ.get("KUBERNETES_SERVICE_HOST")) and NAMESPACE_FILE.is_file()
        )

    def _context_namespace(self) -> str:
        from kubernetes import config

        contexts, active = config.list_kube_config_contexts(config_file=self._kubeconfig)
        chosen = active
        if self._context is not None:
            chosen = next(item for item in contexts if item["name"] == self._context)
        return str(chosen["context"].get("namespace") or "default")

    def _make(self) -> Any:
        from kubernetes import client, config

        # Not client.Configuration(): its metaclass hands out a copy of the process-wide default once one is
        # set.
        settings = type.__call__(client.Configuration)
        settings.retries = False  # The watch has its own back-off, and urllib3's would log each attempt.
        settings.socket_options = _liveness()
        try:
            if self._is_in_cluster():
                config.load_incluster_config(client_configuration=settings)
            else:
                config.load_kube_config(
                    config_file=self._kubeconfig,
                    context=self._context,
                    client_configuration=settings,
                    persist_config=False,
                )
        except Exception as error:  # the library raises YAML, OS, key and type errors for a bad file
            msg = f"no access to a Kubernetes API: {self._describe_source()}: {error}\n{_TRIED}"
            raise AccessError(msg) from error
        return client.ApiClient(configuration=settings)

    def _describe_source(self) -> str:
        if self._is_in_cluster():
            return "service account of this pod"
        where = self._kubeconfig if self._kubeconfig is not None else "~/.kube/config"
        return f"kubeconfig {where}" + (f', context "{self._context}"' if self._context is not None else "")


def _close(client: Any) -> None:
    """With its connections: left alone, errors that came through them keep them until the garbage collector comes."""
    pools = client.rest_client.pool_manager.pools
    for host in pools.keys():  # noqa: SIM118  # urllib3's container can not be iterated
        pools[host].close()
    client.close()


def _liveness() -> list[tuple[int, int, int]]:
    """Socket options by which the kernel finds a silent API server (no FIN, no RST) in ten seconds, asking after five
    idle ones: what client-go's HTTP/2 pings are for.
    """
    from kubernetes.utils.keepalive import tcp_keepalive_socket_options

    options: list[tuple[int, int, int]] = tcp_keepalive_socket_options(idle=5, interval=2, count=3)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000))
    return options
