"""What the resolver of a pod's programs reads."""

from typing import Any

import pytest

from simcluster.kubelet.names import find_hostname, make_hosts, make_resolv_conf

MACHINE = "# made by hand\nnameserver 192.0.2.1\nsearch corp.example.\noptions timeout:2\n"


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        (
            {},
            [
                "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example",
                "nameserver 10.96.0.10",
                "options ndots:5",
            ],
        ),
        (
            {"dnsPolicy": "Default"},
            ["search corp.example", "nameserver 192.0.2.1", "options timeout:2"],
        ),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.9"]}}, ["nameserver 192.0.2.9"]),
        (
            {
                "dnsConfig": {
                    "searches": ["more.example", "cluster.local"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                }
            },
            [
                "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example more.example",
                "nameserver 10.96.0.10",
                "options ndots:2 edns0",
            ],
        ),
    ],
    ids=["cluster first", "default", "none", "config on top"],
)
def test_resolv_conf(spec: dict[str, Any], lines: list[str]) -> None:
    """Policy, then the pod's own configuration."""
    assert make_resolv_conf(pod(**spec), "10.96.0.10", MACHINE).splitlines() == lines


def test_hosts_file_has_the_pods_names_and_aliases() -> None:
    """With a subdomain the full name comes first; aliases are below."""
    aliases = [{"ip": "192.0.2.7", "hostnames": ["db", "db.local"]}]
    text = make_hosts(pod(hostname="web", subdomain="sub", hostAliases=aliases), "10.244.0.7")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert text.endswith(
        "10.244.0.7\tweb.sub.shop.svc.cluster.local\tweb\n\n# Entries added by HostAliases.\n192.0.2.7\tdb\tdb.local\n"
    )


def test_hostname_is_the_pods_name_cut_to_what_a_hostname_may_be() -> None:
    """63 characters, and no dash at the end."""
    assert find_hostname(pod()) == "web-0"
    long = pod() | {"metadata": {"name": "x" * 62 + "-y", "namespace": "d"}}
    assert find_hostname(long) == "x" * 62
