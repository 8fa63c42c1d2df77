"""The resources of Envoy's xDS API that the gateway uses, as JSON. Pure.

The rule it keeps: one function makes one resource, from our words. Which file a resource stands in, and why
the settings are what they are, says `xds`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from demo_server.address import ListenAddress
from demo_server.backends import Address
from demo_server.ingress_rules import Backend, Rule, Termination

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy."
_HTTP = f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = f"{_TYPE}extensions.filters.http.router.v3.Router"
_TLS = f"{_TYPE}extensions.transport_sockets.tls.v3."
_INSPECTOR = f"{_TYPE}extensions.filters.listener.tls_inspector.v3.TlsInspector"
_UPSTREAM = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PREVIOUS_HOSTS = f"{_TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"

CONNECT_TIMEOUT = "1s"
KEEPALIVE = {"interval": "10s", "timeout": "5s"}
ROUTES = "ingress"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A Secret's certificate chain and key, PEM."""

    chain: str
    key: str = field(repr=False)


def cluster_name(backend: Backend) -> str:
    """The cluster's name in Envoy's statistics: no dots, which would split it."""
    return f"{backend.service}_{backend.port_number if backend.port_name is None else backend.port_name}"


def endpoints_file(backend: Backend) -> str:
    """Where the endpoints of a backend stand."""
    return f"eds-{cluster_name(backend)}.json"


def secret_file(secret: str) -> str:
    """Where the certificate of a Secret stands."""
    return f"sds-{secret}.json"


def watch_file(file: str) -> Json:
    """A reference to a file that Envoy watches for replacement."""
    # Relative to the folder that Envoy runs in. Envoy refuses a path without a slash.
    return {"resource_api_version": "V3", "path_config_source": {"path": f"./{file}"}}


def make_endpoints(backend: Backend, addresses: tuple[Address, ...]) -> Json:
    """The addresses of a backend's cluster."""
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": ip, "port_value": port}}}}
        for ip, port in addresses
    ]
    return {
        "@type": f"{_TYPE}config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster_name(backend),
        "endpoints": [{"lb_endpoints": endpoints}],
    }


def make_secret(name: str, certificate: Certificate) -> Json:
    """A certificate for the listener."""
    return {
        "@type": f"{_TLS}Secret",
        "name": name,
        "tls_certificate": {
            "certificate_chain": {"inline_string": certificate.chain},
            "private_key": {"inline_string": certificate.key},
        },
    }


def make_cluster(backend: Backend) -> Json:
    """How to reach a backend."""
    unlimited = 1_000_000
    return {
        "@type": f"{_TYPE}config.cluster.v3.Cluster",
        "name": cluster_name(backend),
        "type": "EDS",
        "eds_cluster_config": {"eds_config": watch_file(endpoints_file(backend))},
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": CONNECT_TIMEOUT,
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        # Envoy's defaults (1 024 requests at once) would be a limit that nobody asked for.
        "circuit_breakers": {
            "thresholds": [
                {"max_requests": unlimited, "max_pending_requests": unlimited, "max_retries": unlimited}
            ]
        },
        "typed_extension_protocol_options": {
            _UPSTREAM: {
                "@type": f"type.googleapis.com/{_UPSTREAM}",
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": KEEPALIVE}},
            }
        },
    }


def make_routes(rules: Iterable[Rule]) -> Json:
    """Which call goes to which cluster: a virtual host for each Ingress host."""
    hosts: dict[str | None, list[Rule]] = {}
    for rule in rules:
        hosts.setdefault(rule.host, []).append(rule)
    return {
        "@type": f"{_TYPE}config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [_make_host(host, hosts[host]) for host in sorted(hosts, key=str)],
    }


def _make_host(host: str | None, rules: list[Rule]) -> Json:
    # Kubernetes: the longest path wins, and an exact one over a prefix of the same length.
    ordered = sorted(rules, key=lambda rule: (-len(rule.path.rstrip("/")), not rule.exact, rule.path))
    return {
        "name": "any" if host is None else host,
        "domains": ["*" if host is None else host],
        "routes": [_make_route(rule) for rule in ordered],
    }


def _make_route(rule: Rule) -> Json:
    match: Json
    if rule.exact:
        match = {"path": rule.path}
    elif rule.path.rstrip("/"):
        match = {"path_separated_prefix": rule.path.rstrip("/")}
    else:
        match = {"prefix": "/"}
    if rule.host is not None and rule.host.startswith("*."):
        # In Kubernetes the star is one label; in Envoy it is any number of them.
        pattern = r"[^.]+\." + re.escape(rule.host[2:])
        match["headers"] = [{"name": ":authority", "string_match": {"safe_regex": {"regex": pattern}}}]
    return {
        "match": match,
        "route": {
            "cluster": cluster_name(rule.backend),
            "timeout": "0s",
            "max_stream_duration": {"grpc_timeout_header_max": "0s"},
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream",
                "num_retries": 1,
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {"@type": _PREVIOUS_HOSTS},
                    }
                ],
                "host_selection_retry_max_attempts": 3,
            },
        },
    }


def make_listener(terminations: list[Termination], listen: ListenAddress) -> Json:
    """The door: a filter chain, chosen by SNI, for each certificate."""
    return {
        "@type": f"{_TYPE}config.listener.v3.Listener",
        "name": "ingress",
        "address": {"socket_address": {"address": listen.host, "port_value": listen.port}},
        "enable_reuse_port": False,
        "listener_filters": [
            {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": _INSPECTOR}}
        ],
        "filter_chains": [_make_chain(each) for each in sorted(terminations, key=lambda each: each.secret)],
    }


def _make_chain(termination: Termination) -> Json:
    sds = {"name": termination.secret, "sds_config": watch_file(secret_file(termination.secret))}
    return {
        "name": termination.secret,
        "filter_chain_match": {"server_names": sorted(termination.hosts)},
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TLS}DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2"],
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                    "tls_certificate_sds_secret_configs": [sds],
                },
            },
        },
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": _make_http()}],
    }


def _make_http() -> Json:
    return {
        "@type": _HTTP,
        "stat_prefix": "ingress",
        "codec_type": "HTTP2",
        "rds": {"route_config_name": ROUTES, "config_source": watch_file("rds.json")},
        "strip_any_host_port": True,
        "use_remote_address": True,
        # Time between GOAWAY's notice and GOAWAY itself when the gateway stops.
        "drain_timeout": "1s",
        "http2_protocol_options": {"connection_keepalive": KEEPALIVE},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
