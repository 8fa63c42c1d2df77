"""What writers are told although what they write is taken: a table of kinds. Pure.

The rule it keeps: a warning is computed for those alone who hear it, of an object in which nothing is wrong; what is
dry run, patched or applied is looked at like what is sent as a whole.

Source: WarningsOnCreate and WarningsOnUpdate of the strategies in kubernetes pkg/registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from simcluster.registry import pod_warnings
from simcluster.registry.address_warnings import warn_of_address, warn_of_network
from simcluster.registry.key_warnings import warn_of_pair
from simcluster.registry.naming import complain_label
from simcluster.registry.options import WriteOptions
from simcluster.registry.traffic_rules import CLASS as INGRESS_CLASS
from simcluster.registry.volumes import OLD_CLASS
from simcluster.registry.workloads import TEMPLATE_GENERATION

Object = dict[str, Any]
_Find = Callable[[Object, Object | None], Iterable[str]]

_RECOMMENDED = "which can result in surprising behavior; a DNS label is recommended"
_USE_CLASS = 'deprecated since v1.8; use "storageClassName" attribute instead'
_VOLUME_ANNOTATIONS = {
    OLD_CLASS: _USE_CLASS,
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}
_VOLUME_SOURCES = ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd")
_EXTERNAL = "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
# What only newer versions say, and the first minor that does.
_NEW = {_EXTERNAL: 36}
_RECYCLE = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."
_HINTS, _TOPOLOGY = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_TOKENS = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
    "logging of tokens in volume attributes"
)
_MOST_COMPLETIONS, _MOST_AT_ONCE = 100_000, 10_000
_MANY_INDEXES = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
    "might not be able to track completedIndexes when a big number of indexes fail"
)
_HISTORY = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
# Of a Job that is deleted by who does not say what becomes of its pods.
PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


def tell(
    resource: str, new: Object, old: Object | None, subresource: str | None, options: WriteOptions, minor: int
) -> None:
    """Tell the writer of an object, if anybody listens, what that minor of Kubernetes finds odd about it."""
    if options.is_heard:
        for text in find_warnings(resource, new, old, subresource):
            if minor >= _NEW.get(text, 0):
                options.warn(text)


def find_warnings(resource: str, new: Object, old: Object | None, subresource: str | None) -> list[str]:
    """Return what the writer of an object is told; `old` is None on creation."""
    table = {None: _OF_OBJECTS, "status": _OF_STATUSES}.get(subresource, {})
    find = table.get(resource)
    return [] if find is None else list(find(new, old))


def _warn_of_name(obj: Object, used: str) -> Iterator[str]:
    name = obj["metadata"].get("name", "")
    # It is a DNS subdomain: nothing else keeps it from being a label.
    found = complain_label(name.replace(".", "-")) + (["must not contain dots"] if "." in name else [])
    if found:
        yield f"metadata.name: this is used in {used}, {_RECOMMENDED}: [{' '.join(found)}]"


def _is_changed(new: Object, old: Object) -> bool:
    return bool(new["metadata"].get("generation") != old["metadata"].get("generation"))


def _warn_of_template(template: Object | None, at: str) -> Iterator[str]:
    if template is not None:
        yield from pod_warnings.find_warnings(template.get("spec", {}), template.get("metadata", {}), at)


def _warn_of_pod(pod: Object, old: Object | None) -> Iterator[str]:
    # Few people update pods: those who do are told nothing.
    if old is None:
        yield from _warn_of_name(pod, "the Pod's hostname")
        yield from pod_warnings.find_warnings(pod["spec"], pod["metadata"], "")


def _warn_of_workload(new: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from _warn_of_name(new, "Pod names and hostnames")
    if old is None or _is_changed(new, old):
        yield from _warn_of_template(new["spec"].get("template"), "spec.template")


def _warn_of_controller(new: Object, old: Object | None) -> Iterator[str]:
    """Of a ReplicationController that changes it is the old template that a real server looks at."""
    if old is None:
        yield from _warn_of_workload(new, None)
    elif _is_changed(new, old):
        yield from _warn_of_template(old["spec"].get("template"), "spec.template")


def _warn_of_daemon_set(new: Object, old: Object | None) -> Iterator[str]:
    before, after = (
        None if each is None else each["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION)
        for each in (old, new)
    )
    if before != after:
        yield from _warn_of_template(new["spec"].get("template"), "spec.template")


def _warn_of_stateful_set(new: Object, old: Object | None) -> Iterator[str]:
    spec = new["spec"]
    if old is None or _is_changed(new, old):
        yield from _warn_of_template(spec.get("template"), "spec.template")
    # Thus a real server calls it in an update.
    inner = "" if old is None else ".Spec"
    for index, claim in enumerate(spec.get("volumeClaimTemplates", ())):
        yield from pod_warnings.warn_of_claim(
            claim.get("spec", {}), f"spec.volumeClaimTemplates[{index}]{inner}"
        )
    if spec.get("revisionHistoryLimit", 0) < 0:
        yield _HISTORY


def _warn_of_job(new: Object, old: Object | None) -> Iterator[str]:
    spec = new["spec"]
    if old is None:
        yield from _warn_of_name(new, "Pod names and hostnames")
    elif not _is_changed(new, old):
        return
    is_large = spec.get("completions", 0) > _MOST_COMPLETIONS and spec.get("parallelism", 0) > _MOST_AT_ONCE
    if spec.get("completionMode") == "Indexed" and is_large:
        yield f"spec: {_MANY_INDEXES}"
    yield from _warn_of_template(spec.get("template"), "spec.template")


def _warn_of_pod_template(new: Object, old: Object | None) -> Iterator[str]:
    if old is None or _is_changed(new, old):
        yield from _warn_of_template(new.get("template"), "template")


def _warn_of_service(service: Object, _old: Object | None) -> Iterator[str]:
    spec = service["spec"]
    kind, external = spec.get("type"), spec.get("externalIPs", ())
    is_headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    if _HINTS in service["metadata"].get("annotations", {}):
        yield f"annotation {_HINTS} is deprecated, please use {_TOPOLOGY} instead"
    if spec.get("clusterIP", "") not in ("", "None"):
        for index, each in enumerate(spec.get("clusterIPs", ())):
            yield from warn_of_address(each, f"spec.clusterIPs[{index}]")
    if is_headless:
        ignored = {
            "loadBalancerIP": spec.get("loadBalancerIP"),
            "externalIPs": external,
            "SessionAffinity": spec.get("sessionAffinity", "None") != "None",
        }
        yield from (f"spec.{key} is ignored for headless services" for key, said in ignored.items() if said)
    for index, each in enumerate(external):
        yield from warn_of_address(each, f"spec.externalIPs[{index}]")
    if external and not is_headless and kind != "ExternalName":
        yield _EXTERNAL
    yield from warn_of_address(spec.get("loadBalancerIP", ""), "spec.loadBalancerIP")
    for index, each in enumerate(spec.get("loadBalancerSourceRanges", ())):
        yield from warn_of_network(each, f"spec.loadBalancerSourceRanges[{index}]")
    if external and kind == "ExternalName":
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if spec.get("externalName") and kind != "ExternalName":
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _warn_of_endpoints(endpoints: Object, _old: Object | None) -> Iterator[str]:
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        for kind in ("addresses", "notReadyAddresses"):
            for number, each in enumerate(subset.get(kind) or ()):
                yield from warn_of_address(each.get("ip", ""), f"subsets[{index}].{kind}[{number}].ip")


def _warn_of_node(node: Object, _old: Object | None) -> Iterator[str]:
    spec = node.get("spec", {})
    if "configSource" in spec:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for index, each in enumerate(spec.get("podCIDRs", ())):
        yield from warn_of_network(each, f"spec.podCIDRs[{index}]")


def _warn_of_volume(volume: Object, _old: Object | None) -> Iterator[str]:
    spec, noted = volume["spec"], volume["metadata"].get("annotations", {})
    for key, text in _VOLUME_ANNOTATIONS.items():
        if key in noted:
            yield f"metadata.annotations[{key}]: {text}"
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield f"spec.persistentVolumeReclaimPolicy: {_RECYCLE}"
    terms = spec.get("nodeAffinity", {}).get("required", {}).get("nodeSelectorTerms", ())
    for index, term in enumerate(terms):
        at = f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]"
        yield from pod_warnings.warn_of_term(term, at, values=False)
    yield from pod_warnings.warn_of_sources(spec, _VOLUME_SOURCES, "spec")


def _warn_of_claim(claim: Object, _old: Object | None) -> Iterator[str]:
    if OLD_CLASS in claim["metadata"].get("annotations", {}):
        yield f"metadata.annotations[{OLD_CLASS}]: {_USE_CLASS}"
    yield from pod_warnings.warn_of_claim(claim["spec"], "spec")


def _warn_of_storage_class(of_class: Object, _old: Object | None) -> Iterator[str]:
    for index, topology in enumerate(of_class.get("allowedTopologies", ())):
        for number, each in enumerate(topology.get("matchLabelExpressions", ())):
            at = f"allowedTopologies[{index}].matchLabelExpressions[{number}].key"
            yield from pod_warnings.warn_of_label(each.get("key", ""), at)


def _warn_of_capacity(capacity: Object, _old: Object | None) -> Iterator[str]:
    nodes = capacity.get("nodeTopology", {})
    yield from pod_warnings.warn_of_term(nodes, "nodeTopology", values=False)
    for key in nodes.get("matchLabels", {}):
        yield from pod_warnings.warn_of_label(key, f"nodeTopology.matchLabels.{key}")


def _warn_of_driver(driver: Object, old: Object | None) -> Iterator[str]:
    spec = driver["spec"]
    asked = spec.get("tokenRequests")
    is_new = old is None or asked != old["spec"].get("tokenRequests")
    if asked and is_new and "serviceAccountTokenInSecrets" not in spec:
        yield _TOKENS


def _warn_of_ingress(ingress: Object, old: Object | None) -> Iterator[str]:
    noted = ingress["metadata"].get("annotations", {})
    if old is None and INGRESS_CLASS in noted and "ingressClassName" not in ingress.get("spec", {}):
        yield f"annotation \"{INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def _warn_of_policy(policy: Object, _old: Object | None) -> Iterator[str]:
    for way, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(policy.get("spec", {}).get(way, ())):
            for number, peer in enumerate(rule.get(side, ())):
                block, at = peer.get("ipBlock", {}), f"spec.{way}[{index}].{side}[{number}].ipBlock"
                yield from warn_of_network(block.get("cidr", ""), f"{at}.cidr")
                for each, text in enumerate(block.get("except", ())):
                    yield from warn_of_network(text, f"{at}.except[{each}]")


def _warn_of_runtime_class(of_class: Object, _old: Object | None) -> Iterator[str]:
    for key in of_class.get("scheduling", {}).get("nodeSelector", {}):
        yield from pod_warnings.warn_of_label(key, "scheduling.nodeSelector")


def _warn_of_slice(of_slice: Object, _old: Object | None) -> Iterator[str]:
    driver = of_slice.get("spec", {}).get("driver", "")
    if driver != driver.lower():
        text = f'driver names should be lowercase; "{driver}" contains uppercase characters'
        yield f"spec.driver: {text}"


def _warn_of_account(account: Object, old: Object | None) -> Iterator[str]:
    before = {} if old is None else old["metadata"].get("annotations", {})
    if _MOUNTABLE in account["metadata"].get("annotations", {}) and _MOUNTABLE not in before:
        text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        yield f"metadata.annotations[{_MOUNTABLE}]: {text}"


def _warn_of_secret(secret: Object, _old: Object | None) -> Iterator[str]:
    if secret.get("type") == "kubernetes.io/tls":
        data = secret.get("data", {})
        yield from warn_of_pair(data.get("tls.crt", ""), data.get("tls.key", ""))


def _warn_of_pod_status(pod: Object, _old: Object | None) -> Iterator[str]:
    status = pod.get("status", {})
    for kind in ("podIPs", "hostIPs"):
        for index, each in enumerate(status.get(kind, ())):
            yield from warn_of_address(each.get("ip", ""), f"status.{kind}[{index}].ip")


def _warn_of_balancer(obj: Object, _old: Object | None) -> Iterator[str]:
    for index, each in enumerate(obj.get("status", {}).get("loadBalancer", {}).get("ingress", ())):
        yield from warn_of_address(each.get("ip", ""), f"status.loadBalancer.ingress[{index}]")


_OF_OBJECTS: dict[str, _Find] = {
    "pods": _warn_of_pod,
    "deployments.apps": _warn_of_workload,
    "replicasets.apps": _warn_of_workload,
    "replicationcontrollers": _warn_of_controller,
    "daemonsets.apps": _warn_of_daemon_set,
    "statefulsets.apps": _warn_of_stateful_set,
    "jobs.batch": _warn_of_job,
    "podtemplates": _warn_of_pod_template,
    "services": _warn_of_service,
    "endpoints": _warn_of_endpoints,
    "nodes": _warn_of_node,
    "persistentvolumes": _warn_of_volume,
    "persistentvolumeclaims": _warn_of_claim,
    "storageclasses.storage.k8s.io": _warn_of_storage_class,
    "csistoragecapacities.storage.k8s.io": _warn_of_capacity,
    "csidrivers.storage.k8s.io": _warn_of_driver,
    "ingresses.networking.k8s.io": _warn_of_ingress,
    "networkpolicies.networking.k8s.io": _warn_of_policy,
    "runtimeclasses.node.k8s.io": _warn_of_runtime_class,
    "resourceslices.resource.k8s.io": _warn_of_slice,
    "serviceaccounts": _warn_of_account,
    "secrets": _warn_of_secret,
}
_OF_STATUSES: dict[str, _Find] = {
    "pods": _warn_of_pod_status,
    "services": _warn_of_balancer,
    "ingresses.networking.k8s.io": _warn_of_balancer,
}
