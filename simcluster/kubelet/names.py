"""What the resolver of a pod's programs reads: resolv.conf and the hosts file. Pure.

The rules it keeps (pkg/kubelet/network/dns/dns.go, pkg/kubelet/util/hosts): with `ClusterFirst` the cluster's
DNS, the searches of the pod's namespace, then the machine's, and five dots; `dnsConfig` is appended, an option
of its own replaces ours; the hosts file has the pod's own names and its `hostAliases`.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
DOMAIN = "cluster.local"
_MOST_NAMESERVERS = 3
_HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def make_resolv_conf(pod: Object, resolver: str, machine: str) -> str:
    """The pod's resolv.conf; `resolver` is the cluster's DNS server, `machine` the text of the node's own."""
    spec = pod["spec"]
    servers, searches, options = _read(machine)
    match spec.get("dnsPolicy", "ClusterFirst"):
        case "None":
            servers, searches, options = [], [], []
        case "Default":
            pass
        case _:
            namespace = pod["metadata"]["namespace"]
            ours = [f"{namespace}.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN]
            servers, searches, options = [resolver], [*ours, *searches], ["ndots:5"]
    extra = spec.get("dnsConfig") or {}
    servers = list(dict.fromkeys([*servers, *(extra.get("nameservers") or ())]))[:_MOST_NAMESERVERS]
    searches = list(dict.fromkeys([*searches, *(extra.get("searches") or ())]))
    options = _merge(options, extra.get("options") or [])
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {each}" for each in servers]
    lines += [f"options {' '.join(options)}"] if options else []
    return "".join(f"{line}\n" for line in lines)


def _read(text: str) -> tuple[list[str], list[str], list[str]]:
    """Name servers, searches and options of a resolv.conf; the last search line counts."""
    servers, searches, options = [], [], []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                servers.append(address)
            case ["search", *names]:
                searches = [name.rstrip(".") for name in names]
            case ["options", *given]:
                options = given
    return servers, [name for name in searches if name], options


def _merge(options: list[str], extra: list[Object]) -> list[str]:
    found = {each.partition(":")[0]: each for each in options}
    for each in extra:
        value = each.get("value")
        found[each["name"]] = f"{each['name']}:{value}" if value else each["name"]
    return list(found.values())


def make_hosts(pod: Object, address: str) -> str:
    """The pod's hosts file."""
    spec, hostname = pod["spec"], find_hostname(pod)
    subdomain = spec.get("subdomain")
    namespace = pod["metadata"]["namespace"]
    full = f"{hostname}.{subdomain}.{namespace}.svc.{DOMAIN}\t" if subdomain else ""
    text = f"{_HOSTS}{address}\t{full}{hostname}\n"
    aliases = spec.get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join("\t".join([each["ip"], *(each.get("hostnames") or ())]) + "\n" for each in aliases)
    return text


def find_hostname(pod: Object) -> str:
    """The pod's host name."""
    given = pod["spec"].get("hostname")
    name: str = given if given else pod["metadata"]["name"]
    return name[:63].rstrip("-.")
