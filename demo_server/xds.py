"""Envoy's configuration for a set of rules, as the contents of the files that Envoy watches. Pure.

The rule it keeps: the same input gives the same bytes, whatever order the objects came in, so that a file
changes only when its meaning does. Endpoints live in a file for each cluster and certificates in one for each
Secret (Envoy takes exactly one resource from such a file), so that a pod that comes or goes touches neither
routes nor connections.

What the proxy does, and why:
- TLS in front, ALPN `h2` only, a certificate by SNI; HTTP/2 to the pods.
- Round robin over all usable endpoints. No health checks, no outlier ejection: Kubernetes says who is ready.
- A call's time-out is the caller's own (`grpc-timeout`); the proxy adds none.
- One retry, on another endpoint, and only where the call can not have reached a pod: `connect-failure`,
  `refused-stream`.
- HTTP/2 keepalive pings find a peer that is gone without a FIN.
- An endpoint that leaves gets no new streams; streams in flight on it end by themselves.
"""

import hashlib
import json
from collections.abc import Mapping

from demo_server.address import ListenAddress
from demo_server.backends import Address
from demo_server.ingress_rules import Backend, Rules
from demo_server.xds_resources import (
    Certificate,
    Json,
    endpoints_file,
    make_cluster,
    make_endpoints,
    make_listener,
    make_routes,
    make_secret,
    secret_file,
    watch_file,
)

_CONNECTION_LIMIT = {
    "name": "envoy.resource_monitors.global_downstream_max_connections",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3."
        "DownstreamConnectionsConfig",
        "max_active_downstream_connections": 10_000,
    },
}


def render_files(
    rules: Rules,
    endpoints: Mapping[Backend, tuple[Address, ...]],
    certificates: Mapping[str, Certificate],
    listen: ListenAddress,
) -> dict[str, str]:
    """File name to content, in the order in which the files have to be written: what is referred to comes
    first.

    A termination whose Secret is not in `certificates` is left out until it is.
    """
    terminations = [each for each in rules.terminations if each.secret in certificates]
    backends = rules.backends
    files = {
        endpoints_file(each): _envelope([make_endpoints(each, endpoints.get(each, ()))]) for each in backends
    }
    for each in terminations:
        files[secret_file(each.secret)] = _envelope([make_secret(each.secret, certificates[each.secret])])
    files["cds.json"] = _envelope([make_cluster(each) for each in backends])
    files["rds.json"] = _envelope([make_routes(rules.rules)])
    files["lds.json"] = _envelope([make_listener(terminations, listen)] if terminations else [])
    return files


def make_bootstrap(admin_socket: str) -> str:
    """What Envoy starts with; the admin interface is a socket in the file system, so no port."""
    bootstrap: Json = {
        "node": {"id": "ingress-gateway", "cluster": "ingress-gateway"},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}},
        # Envoy asks for a limit; it is far above what one gateway of one worker thread can serve.
        "overload_manager": {"resource_monitors": [_CONNECTION_LIMIT]},
        "dynamic_resources": {"cds_config": watch_file("cds.json"), "lds_config": watch_file("lds.json")},
    }
    return json.dumps(bootstrap, indent=1)


def _envelope(resources: list[Json]) -> str:
    body = json.dumps(resources, indent=1)
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    return f'{{"version_info": "{version}", "resources": {body}}}\n'
