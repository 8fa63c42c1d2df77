"""What clients are told by the header `Warning` although a request succeeds."""

import base64
import re

import pytest
from rig.objects import config_map, container, nowhere, pod, service, template, workload

SURPRISING = "which can result in surprising behavior; a DNS label is recommended"
OLD_ENDPOINTS = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
MATCHES_NONE = "a null labelSelector results in matching no pod"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
FRACTION = 'fractional byte value "{}" is invalid, must be an integer'
PORT_80 = {"port": 80}


def told(answer):
    """The texts of an answer's warnings, in their order."""
    assert answer.status < 300, answer.text
    texts = re.findall(r'299 - "((?:[^"\\]|\\.)*)"', answer.headers.get("Warning", ""))
    return [text.replace('\\"', '"').replace("\\\\", "\\") for text in texts]


def main(**more):
    """A container."""
    return {"name": "main", "image": "a:1"} | more


def affine(kind, **terms):
    """A spec with an affinity."""
    return {"affinity": {kind: terms}}


def volume(kind, **source):
    """A spec with one volume."""
    return {"volumes": [{"name": "v", kind: source}]}


def items(*paths):
    """What of a ConfigMap or Secret goes where."""
    return [{"key": "k", "path": path} for path in paths]


TERM = {"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "In", "values": ["a b"]}]}
NODE = affine(
    "nodeAffinity",
    **{
        REQUIRED: {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}]}
            ]
        },
        PREFERRED: [{"weight": 1, "preference": TERM}],
    },
)
NEAR = {"topologyKey": "kubernetes.io/hostname"}
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "failure-domain.beta.kubernetes.io/zone",
    "whenUnsatisfiable": "ScheduleAnyway",
}
# What is odd about a pod's spec: what is added to one, and the warnings, with the place of the spec left out.
ODD = {
    "nothing": ({}, []),
    "old-label": ({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}, [
        '{}spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
    ]),
    "master": ({"nodeSelector": {"node-role.kubernetes.io/master": ""}}, [
        '{}spec.nodeSelector[node-role.kubernetes.io/master]: use "node-role.kubernetes.io/control-plane" instead',
    ]),
    "node-affinity": (NODE, [
        f"{{}}spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is "
        'deprecated since v1.14; use "kubernetes.io/os" instead',
        f"{{}}spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].key: beta.kubernetes.io/arch is "
        'deprecated since v1.14; use "kubernetes.io/arch" instead',
        f"{{}}spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].values[0]: a b is invalid, "
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
        "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ]),
    "spread": ({"topologySpreadConstraints": [SPREAD]}, [
        "{}spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; "
        'use "topology.kubernetes.io/zone" instead',
        f"{{}}spec.topologySpreadConstraints[0].labelSelector: {MATCHES_NONE}",
    ]),
    "affinity": (affine("podAffinity", **{REQUIRED: [NEAR]}), [
        f"{{}}spec.affinity.podAffinity.{REQUIRED}[0].labelSelector: {MATCHES_NONE}",
    ]),
    "anti-affinity": (affine("podAntiAffinity", **{PREFERRED: [{"weight": 1, "podAffinityTerm": NEAR}]}), [
        f"{{}}spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector: {MATCHES_NONE}",
    ]),
    "git": (volume("gitRepo", repository="r"), [
        "{}spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
    ]),
    "old-volume": (volume("storageos", volumeName="a"), [
        "{}spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+",
    ]),
    "older-volume": (volume("glusterfs", endpoints="e", path="p"), [
        "{}spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+",
    ]),
    "claim": (
        volume("ephemeral", volumeClaimTemplate={
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500m"}}},
        }),
        ["{}spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: " + FRACTION.format("1500m")],
    ),
    "paths": (volume("configMap", name="c", items=items("a", "a/b", "b", "a")), [
        'volume "v" (ConfigMap "c"): overlapping paths: "a/b" with "a"',
        'volume "v" (ConfigMap "c"): overlapping paths: "a" with "a"',
        'volume "v" (ConfigMap "c"): overlapping paths: "a" with "a/b"',
    ]),
    "secret-paths": (volume("secret", secretName="s", items=items("a/", "a")), [
        'volume "v" (Secret "s"): overlapping paths: "a" with "a"',
    ]),
    "projected-paths": (
        volume("projected", sources=[
            {"configMap": {"name": "c", "items": items("a")}},
            {"serviceAccountToken": {"path": "a/token"}},
            {"downwardAPI": {"items": [{"path": "b", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        ]),
        ['volume "v" (Projected): overlapping paths: "a/token" (ServiceAccountToken) with "a" (ConfigMap "c")'],
    ),
    "hosts": ({"hostAliases": [{"ip": "1.2.3.4"}, {"ip": "2001:DB8::1"}, {"ip": "1.2.3.4"}]}, [
        '{}spec.hostAliases[2].ip: duplicate ip "1.2.3.4"',
        '{}spec.hostAliases[1].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
    ]),
    "pull-secrets": ({"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]}, [
        '{}spec.imagePullSecrets[1].name: duplicate name "a"',
        '{}spec.imagePullSecrets[2].name: invalid empty name ""',
    ]),
    "nameservers": ({"dnsConfig": {"nameservers": ["::0"]}}, [
        '{}spec.dnsConfig.nameservers[0]: IPv6 address "::0" should be in RFC 5952 canonical format ("::")',
    ]),
}  # fmt: skip
CONTAINERS = {
    "fraction": ([main(resources={kind: {"memory": "1500m"} for kind in ("limits", "requests")})], [
        "{}spec.containers[0].resources.limits[memory]: " + FRACTION.format("1500m"),
        "{}spec.containers[0].resources.requests[memory]: " + FRACTION.format("1500m"),
    ]),
    "hidden": ([main(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])], [
        '{}spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ]),
    "hidden-by-itself": ([main(env=[{"name": "A"}, {"name": "A", "value": "$(A)"}])], [
        '{}spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ]),
    "gone-on-from": ([main(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}])], []),
    "host-ip": ([main(ports=[{"containerPort": 1, "hostIP": "1.2.3.4"}])], [
        "{}spec.containers[0].ports[0]: hostIP set without hostPort: "
        "{{Name: HostPort:0 ContainerPort:1 Protocol:TCP HostIP:1.2.3.4}}",
    ]),
    "same-port": ([main(ports=[{"containerPort": 1}]), main(name="two", ports=[{"containerPort": 1}])], [
        "{}spec.containers[1].ports[0]: duplicate port definition with {}spec.containers[0].ports[0]",
    ]),
    "overlapping-port": ([main(ports=[{"containerPort": 1}, {"containerPort": 1, "hostPort": 1}])], [
        "{}spec.containers[0].ports[1]: overlapping port definition with {}spec.containers[0].ports[0]",
    ]),
    "ambiguous-port": (
        [main(ports=[{"containerPort": 1, "hostPort": 1}, {"containerPort": 1, "hostPort": 1, "hostIP": "1.2.3.4"}])],
        ["{}spec.containers[0].ports[1]: dangerously ambiguous port definition with {}spec.containers[0].ports[0]"],
    ),
    "other-protocol": ([main(ports=[{"containerPort": 1}, {"containerPort": 1, "protocol": "UDP"}])], []),
    "port-name": (
        [main(ports=[{"containerPort": 1, "name": "a"}]), main(name="two", ports=[{"containerPort": 2, "name": "a"}])],
        ['{}spec.containers[1].ports[0]: duplicate port name "a" with {}spec.containers[0].ports[0], services and probes '
         "that select ports by name will use {}spec.containers[0].ports[0]"],
    ),
}  # fmt: skip
NOTES = {
    "critical": ("scheduler.alpha.kubernetes.io/critical-pod", 'non-functional in v1.16+; use the "priorityClassName" field instead'),
    "sysctls": ("security.alpha.kubernetes.io/sysctls", 'non-functional in v1.11+; use the "sysctls" field instead'),
    "seccomp": ("seccomp.security.alpha.kubernetes.io/pod", 'non-functional in v1.27+; use the "seccompProfile" field instead'),
    "seccomp-container": (
        "container.seccomp.security.alpha.kubernetes.io/main", 'non-functional in v1.27+; use the "seccompProfile" field instead',
    ),
    "app-armor": (
        "container.apparmor.security.beta.kubernetes.io/main", 'deprecated since v1.30; use the "appArmorProfile" field instead',
    ),
}  # fmt: skip


def as_pod(name, spec, notes):
    """A pod of a spec, and where its spec stands."""
    body = pod(name) | {"spec": spec | {"schedulerName": "nobody"}}
    body["metadata"] |= {"annotations": notes}
    return "pods", body, ""


def as_template(name, spec, notes):
    """A Deployment of a spec, and where its spec stands."""
    pods = {"metadata": {"labels": {"app": name}, "annotations": notes}, "spec": spec}
    return "deployments", workload("Deployment", name, pods, replicas=0), "spec.template."


SHAPES = pytest.mark.parametrize("shape", [as_pod, as_template], ids=["pod", "template"])


@SHAPES
@pytest.mark.parametrize("case", ODD)
def test_a_spec_that_is_odd(pod_room, name, case, shape):
    """It is taken, with a word about each thing that is odd."""
    more, texts = ODD[case]
    resource, body, at = shape(name, {"containers": [main()]} | more, {})
    answer = pod_room.create(resource, body, dryRun="All")
    assert told(answer) == [text.replace("{}", at) for text in texts]


@SHAPES
@pytest.mark.parametrize("case", CONTAINERS)
def test_containers_that_are_odd(pod_room, name, case, shape):
    """So are containers."""
    containers, texts = CONTAINERS[case]
    resource, body, at = shape(name, {"containers": containers}, {})
    answer = pod_room.create(resource, body, dryRun="All")
    shown = [text.replace("{}", at).replace("{{", "{").replace("}}", "}") for text in texts]
    assert told(answer) == shown


@SHAPES
@pytest.mark.parametrize("case", NOTES)
def test_annotations_that_were_fields_once(pod_room, name, case, shape):
    """And annotations."""
    key, text = NOTES[case]
    resource, body, at = shape(name, {"containers": [main()]}, {key: "runtime/default"})
    answer = pod_room.create(resource, body, dryRun="All")
    assert told(answer) == [f"{at}metadata.annotations[{key}]: {text}"]


@pytest.mark.parametrize(
    ("resource", "used"),
    [("pods", "the Pod's hostname"), *((each, "Pod names and hostnames") for each in ("deployments", "replicasets", "jobs"))],
)  # fmt: skip
def test_a_name_that_is_no_label(pod_room, name, resource, used):
    """Names of pods, and of what makes pods, had better be DNS labels."""
    dotted = f"{name}.x"
    pods = template(container("a:1"), labels={"app": name})
    bodies = {
        "pods": nowhere(pod(dotted, container("a:1"))),
        "deployments": workload("Deployment", dotted, pods, replicas=0),
        "replicasets": workload("ReplicaSet", dotted, pods, replicas=0),
        "jobs": {
            "metadata": {"name": dotted},
            "spec": {"suspend": True, "template": {"spec": pods["spec"] | {"restartPolicy": "Never"}}},
        },
    }
    answer = pod_room.create(resource, bodies[resource], dryRun="All")
    assert told(answer) == [f"metadata.name: this is used in {used}, {SURPRISING}: [must not contain dots]"]


PORTS = {"containers": [main(ports=[{"containerPort": 1}, {"containerPort": 1}])]}
TWICE = "{0}spec.containers[0].ports[1]: duplicate port definition with {0}spec.containers[0].ports[0]"


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"])
def test_a_template_is_looked_at_when_something_changes(room, name, kind):
    """On creation and with each change of the spec; not with labels, nor for what is not sent to the whole object."""
    pods = {"metadata": {"labels": {"app": name}}, "spec": PORTS | {"nodeSelector": {"nowhere": "1"}}}
    resource = f"{kind.lower()}s"
    body = workload(kind, name, pods, **({} if kind == "DaemonSet" else {"replicas": 0}))
    if kind == "StatefulSet":
        body["spec"]["serviceName"] = name
    text = TWICE.format("spec.template.")
    assert told(room.create(resource, body)) == [text]
    assert told(room.patch(resource, name, "merge", {"metadata": {"labels": {"a": "b"}}})) == []
    seconds = {"spec": {"minReadySeconds": 1}}
    # A DaemonSet has a count of the changes of its template.
    assert told(room.patch(resource, name, "merge", seconds)) == ([] if kind == "DaemonSet" else [text])
    grace = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
    assert told(room.patch(resource, name, "strategic", grace)) == [text]
    if kind != "DaemonSet":
        assert told(room.patch(resource, name, "merge", {"spec": {"replicas": 0}}, "scale")) == []
    assert told(room.get(resource, name)) == []
    assert told(room.delete(resource, name)) == []


def test_a_negative_grace(pod_room, name):
    """A pod is given one second; a template says what it said, and that is told."""
    pods = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [main()], "terminationGracePeriodSeconds": -1},
    }
    text = "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
    answer = pod_room.create("deployments", workload("Deployment", name, pods, replicas=0), dryRun="All")
    assert told(answer) == [text]
    assert answer.json["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == -1
    of_pod = pod_room.create(
        "pods", nowhere(pod(name, main(), terminationGracePeriodSeconds=-1)), dryRun="All"
    )
    assert (told(of_pod), of_pod.json["spec"]["terminationGracePeriodSeconds"]) == ([], 1)


def test_pods_are_looked_at_once(pod_room, name):
    """A pod that is changed is not."""
    body = nowhere(pod(name)) | {"spec": PORTS | {"schedulerName": "nobody"}}
    assert told(pod_room.create("pods", body)) == [TWICE.format("")]
    assert told(pod_room.patch("pods", name, "merge", {"metadata": {"labels": {"a": "b"}}})) == []


@pytest.mark.parametrize("how", ["apply", "merge"])
def test_every_way_of_writing(room, name, how):
    """Server-side apply and patches are told the same, also in a dry run."""
    pods = {"metadata": {"labels": {"app": name}}, "spec": PORTS}
    body = workload("Deployment", name, pods, replicas=0)
    text = [TWICE.format("spec.template.")]
    if how == "apply":
        # What is applied can not have the same key twice.
        pods["spec"] = {
            "containers": [main(), main(name="two")],
            "nodeSelector": {"beta.kubernetes.io/os": "linux"},
        }
        text = [
            'spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'
        ]
        query = {"fieldManager": "me"}
        assert told(room.patch("deployments", name, "apply", body, dryRun="All", **query)) == text
        assert told(room.patch("deployments", name, "apply", body, **query)) == text
        assert told(room.patch("deployments", name, "apply", body, **query)) == []
    else:
        room.make("deployments", body)
        change = {"spec": {"minReadySeconds": 1}}
        assert told(room.patch("deployments", name, "merge", change, dryRun="All")) == text
        assert told(room.patch("deployments", name, "merge", change)) == text
        # A real server may begin with a state that it remembers, and tell of what it did not have to do.
        room.until("deployments", name, lambda each: each["status"].get("observedGeneration") == 2)
        assert told(room.patch("deployments", name, "merge", change)) == []


def test_what_is_refused_is_only_refused(pod_room, name):
    """What is wrong is said in place of what is odd; what is not allowed comes after both."""
    wrong = nowhere(pod(name)) | {"spec": PORTS | {"restartPolicy": "Perhaps"}}
    answer = pod_room.create("pods", wrong)
    assert (answer.status, answer.headers.get("Warning")) == (422, None)


def test_what_is_not_allowed_is_warned_of(own_pod_room, name):
    """A pod that a LimitRange refuses was looked at before."""
    bounds = {"type": "Pod", "max": {"cpu": "1m"}}
    own_pod_room.make("limitranges", {"metadata": {"name": name}, "spec": {"limits": [bounds]}})
    answer = own_pod_room.create("pods", nowhere(pod(name)) | {"spec": PORTS})
    assert answer.status == 403
    assert answer.headers["Warning"] == f'299 - "{TWICE.format("")}"'


def test_every_request_for_endpoints(room, name):
    """Whatever is asked of Endpoints: they are deprecated."""
    text = [OLD_ENDPOINTS]
    body = {"metadata": {"name": name}, "subsets": [{"addresses": [{"ip": "2001:DB8::1"}]}]}
    odd = 'subsets[0].addresses[0].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'
    assert told(room.create("endpoints", body)) == [*text, odd]
    assert told(room.get("endpoints", name)) == text
    assert told(room.get("endpoints")) == text
    assert told(room.get("endpoints", fieldSelector="metadata.name=x")) == text
    assert told(room.patch("endpoints", name, "merge", {"metadata": {"labels": {"a": "b"}}})) == [*text, odd]
    assert told(room.put("endpoints", name, {"metadata": {"name": name}})) == text
    with room.watch("endpoints", timeoutSeconds=1) as events:
        assert events.headers["Warning"] == f'299 - "{OLD_ENDPOINTS}"'
    assert told(room.delete("endpoints", name)) == text
    assert room.get("endpoints", name).headers["Warning"] == f'299 - "{OLD_ENDPOINTS}"'
    assert room.create("endpoints", {"metadata": {}}).headers["Warning"] == f'299 - "{OLD_ENDPOINTS}"'


SERVICES = {
    "nothing": ({"ports": [PORT_80]}, []),
    "external": ({"ports": [PORT_80], "externalIPs": ["192.0.2.1"]}, [
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
    ]),
    "headless": (
        {"clusterIP": "None", "externalIPs": ["192.0.2.1"], "sessionAffinity": "ClientIP", "ports": [PORT_80]},
        ["spec.externalIPs is ignored for headless services", "spec.SessionAffinity is ignored for headless services"],
    ),
    "name": ({"ports": [PORT_80], "externalName": "a.b"}, ['spec.externalName is ignored when spec.type is not "ExternalName"']),
    "external-name": ({"type": "ExternalName", "externalName": "a.b", "externalIPs": ["192.0.2.1"]}, [
        'spec.externalIPs is ignored when spec.type is "ExternalName"',
    ]),
    "close": ({"ports": [PORT_80], "trafficDistribution": "PreferClose"}, [
        'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
    ]),
    "source-ranges": ({"ports": [PORT_80], "type": "LoadBalancer", "loadBalancerSourceRanges": ["2001:DB8::/64"]}, [
        'spec.loadBalancerSourceRanges[0]: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical format '
        '("2001:db8::/64")',
    ]),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVICES)
def test_a_service_that_is_odd(room, name, case):
    """What of a Service has no effect, or is going away."""
    spec, texts = SERVICES[case]
    body = service(name, None) | {"spec": spec}
    assert told(room.create("services", body, dryRun="All")) == texts


def test_a_service_with_hints(room, name):
    """An annotation that has another name now, on creation and with each change."""
    body = service(name, None, PORT_80)
    body["metadata"]["annotations"] = {"service.kubernetes.io/topology-aware-hints": "auto"}
    text = (
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
        "service.kubernetes.io/topology-mode instead"
    )
    assert told(room.create("services", body)) == [text]
    assert told(room.patch("services", name, "merge", {"metadata": {"labels": {"a": "b"}}})) == [text]
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "2001:DB8::1"}]}}}
    kind = room.patch("services", name, "merge", {"spec": {"type": "LoadBalancer"}})
    assert told(kind) == [text]
    assert told(room.patch("services", name, "merge", status, "status")) == [
        'status.loadBalancer.ingress[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'
    ]


CLAIM = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1500m"}},
    "storageClassName": "x",
}
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
USE_CLASS = (
    f'metadata.annotations[{OLD_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
)


def test_a_claim_that_is_odd(room, name):
    """A part of a byte, and the class in an annotation."""
    body = {"metadata": {"name": name, "annotations": {OLD_CLASS: "x"}}, "spec": CLAIM}
    texts = [USE_CLASS, "spec.resources.requests[storage]: " + FRACTION.format("1500m")]
    assert told(room.create("persistentvolumeclaims", body)) == texts
    labelled = room.patch("persistentvolumeclaims", name, "merge", {"metadata": {"labels": {"a": "b"}}})
    assert told(labelled) == texts


def test_the_claims_of_a_stateful_set(room, name):
    """They are looked at, too; and a history of negative length."""
    pods = template(main(), labels={"app": name})
    body = workload("StatefulSet", name, pods, replicas=0, serviceName=name, revisionHistoryLimit=-1)
    body["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "c"}, "spec": CLAIM}]
    kept = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
    text = "spec.volumeClaimTemplates[0]{}.resources.requests[storage]: " + FRACTION.format("1500m")
    assert told(room.create("statefulsets", body)) == [text.format(""), kept]
    labelled = room.patch("statefulsets", name, "merge", {"metadata": {"labels": {"a": "b"}}})
    assert told(labelled) == [text.format(".Spec"), kept]


def test_a_large_job(room, name):
    """More indexes than can be followed."""
    pods = {"spec": {"containers": [main()], "restartPolicy": "Never"}}
    spec = {
        "completionMode": "Indexed",
        "completions": 100_001,
        "parallelism": 10_001,
        "suspend": True,
        "template": pods,
    }
    body = {"metadata": {"name": name}, "spec": spec}
    text = (
        "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
        "might not be able to track completedIndexes when a big number of indexes fail"
    )
    assert told(room.create("jobs", body, dryRun="All")) == [text]
    body["spec"]["parallelism"] = 10_000
    assert told(room.create("jobs", body, dryRun="All")) == []


STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


def idle_job(name):
    """A Job that does nothing."""
    spec = {"suspend": True, "template": {"spec": {"containers": [main()], "restartPolicy": "Never"}}}
    return {"metadata": {"name": name}, "spec": spec}


def test_deleting_a_job(room, name):
    """Its pods stay if nothing is said, and that is said."""
    room.make("jobs", idle_job(name))
    assert told(room.delete("jobs", name, propagationPolicy="Background", dryRun="All")) == []
    assert told(room.delete("jobs", name, dryRun="All")) == [STAY]
    answer = room.delete("jobs", name)
    assert told(answer) == [STAY]
    assert answer.json["metadata"]["finalizers"] == ["orphan"]
    room.until_gone("jobs", name)


def test_deleting_jobs(own_room, name):
    """All at once, too."""
    own_room.make("jobs", idle_job(name))
    assert told(own_room.delete("jobs", propagationPolicy="Orphan", dryRun="All")) == []
    assert told(own_room.delete("jobs")) == [STAY]


def test_the_pods_of_a_job_stay(pod_room, name):
    """They are nobody's, and not deleted."""
    body = idle_job(name)
    body["spec"] = {
        "template": nowhere({"metadata": {"labels": {"made-by": name}}} | body["spec"]["template"])
    }
    pod_room.make("jobs", body)
    # What the collector has not seen yet it can not orphan: that another has seen it is told later.
    pod_room.until("jobs", name, lambda job: job["status"].get("active") == 1)
    pod_room.delete("jobs", name)
    pod_room.until_gone("jobs", name)
    [left] = pod_room.get("pods", labelSelector=f"made-by={name}").ok["items"]
    assert "ownerReferences" not in left["metadata"]
    assert "deletionTimestamp" not in left["metadata"]


def test_the_pods_of_a_replication_controller_stay(pod_room, name):
    """So would those of a ReplicationController, and nothing is said."""
    pods = nowhere(template(main(), labels={"made-by": name}))
    spec = {"replicas": 0, "selector": {"made-by": name}, "template": pods}
    pod_room.make("replicationcontrollers", {"metadata": {"name": name}, "spec": spec})
    answer = pod_room.delete("replicationcontrollers", name)
    assert (told(answer), answer.json["metadata"]["finalizers"]) == ([], ["orphan"])
    pod_room.until_gone("replicationcontrollers", name)


def test_a_finalizer_says_what_becomes_of_pods(room, name):
    """One that is there already comes before the kind's default."""
    body = idle_job(name)
    body["metadata"]["finalizers"] = ["foregroundDeletion"]
    room.make("jobs", body)
    assert room.delete("jobs", name).json["metadata"]["finalizers"] == ["foregroundDeletion"]


def test_an_ingress_with_its_class_in_an_annotation(room, name):
    """Only where the field says nothing, and on creation."""
    body = {"metadata": {"name": name, "annotations": {"kubernetes.io/ingress.class": "x"}}}
    body["spec"] = {"defaultBackend": {"service": {"name": "a", "port": {"number": 1}}}}
    text = (
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    )
    assert told(room.create("ingresses", body)) == [text]
    assert told(room.patch("ingresses", name, "merge", {"metadata": {"labels": {"a": "b"}}})) == []


def test_a_network_policy_that_is_odd(room, name):
    """Addresses are written in one way."""
    block = {"cidr": "2001:DB8::/32", "except": ["2001:DB8:0::/64"]}
    spec = {
        "podSelector": {},
        "ingress": [{"from": [{"ipBlock": block}]}],
        "egress": [{"to": [{"ipBlock": block}]}],
    }
    text = 'spec.{}.ipBlock.{}: IPv6 CIDR value "{}" should be in RFC 5952 canonical format ("{}")'
    assert told(room.create("networkpolicies", {"metadata": {"name": name}, "spec": spec}, dryRun="All")) == [
        text.format(side, *each)
        for side in ("ingress[0].from[0]", "egress[0].to[0]")
        for each in (
            ("cidr", "2001:DB8::/32", "2001:db8::/32"),
            ("except[0]", "2001:DB8:0::/64", "2001:db8::/64"),
        )
    ]


def test_an_account_with_an_old_annotation(room, name):
    """It is said when the annotation comes."""
    key = "kubernetes.io/enforce-mountable-secrets"
    text = f"metadata.annotations[{key}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    assert told(
        room.create("serviceaccounts", {"metadata": {"name": name, "annotations": {key: "true"}}})
    ) == [text]
    assert told(room.patch("serviceaccounts", name, "merge", {"metadata": {"labels": {"a": "b"}}})) == []


def encode(text):
    """A text as it stands in a Secret."""
    return base64.b64encode(text.encode()).decode()


FORM = "-----BEGIN {0}-----\nMIIB\n-----END {0}-----\n"
PAIRS = {
    "no-text": ("x", "y", "tls: failed to find any PEM data in certificate input"),
    "swapped": (FORM.format("PRIVATE KEY"), FORM.format("CERTIFICATE"),
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may "
                "have been switched"),
    "other": (FORM.format("DOG"), "", 'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM '
              "blocks of the following types: [DOG]"),
    "no-key": (FORM.format("CERTIFICATE"), "y", "tls: failed to find any PEM data in key input"),
    "two-certificates": (FORM.format("CERTIFICATE"), FORM.format("CERTIFICATE"),
                         "tls: found a certificate rather than a key in the PEM for the private key"),
    "malformed": (FORM.format("CERTIFICATE"), FORM.format("RSA PRIVATE KEY"), "x509: malformed certificate"),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_a_certificate_and_a_key(room, name, case):
    """A Secret of type TLS is looked into."""
    certificate, key, text = PAIRS[case]
    body = {"metadata": {"name": name}, "type": "kubernetes.io/tls"}
    body["data"] = {"tls.crt": encode(certificate), "tls.key": encode(key)}
    assert told(room.create("secrets", body, dryRun="All")) == [text]


def test_a_volume_that_is_odd(api, name):
    """What of a PersistentVolume is going away."""
    terms = [{"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}]}]
    spec = {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"},
        "persistentVolumeReclaimPolicy": "Recycle", "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
    }  # fmt: skip
    body = {"metadata": {"name": name, "annotations": {OLD_CLASS: "x"}}, "spec": spec}
    assert told(api.post("/api/v1/persistentvolumes", body, dryRun="All")) == [
        USE_CLASS,
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is "
        "to use dynamic provisioning.",
        "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since "
        'v1.14; use "kubernetes.io/os" instead',
    ]


def test_a_storage_class_and_a_runtime_class_that_are_odd(api, name):
    """Old labels of nodes."""
    key = "failure-domain.beta.kubernetes.io/zone"
    topologies = [{"matchLabelExpressions": [{"key": key, "values": ["a"]}]}]
    body = {"metadata": {"name": name}, "provisioner": "p", "allowedTopologies": topologies}
    text = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    assert told(api.post("/apis/storage.k8s.io/v1/storageclasses", body, dryRun="All")) == [
        f"allowedTopologies[0].matchLabelExpressions[0].key: {text}"
    ]
    body = {"metadata": {"name": name}, "handler": "h", "scheduling": {"nodeSelector": {key: "a"}}}
    assert told(api.post("/apis/node.k8s.io/v1/runtimeclasses", body, dryRun="All")) == [
        f"scheduling.nodeSelector: {text}"
    ]


def test_a_node_that_is_odd(api, name):
    """Fields that nobody reads."""
    body = {
        "metadata": {"name": name},
        "spec": {"externalID": "x", "podCIDRs": ["2001:DB8::/64"], "podCIDR": "2001:DB8::/64"},
    }
    assert told(api.post("/api/v1/nodes", body, dryRun="All")) == [
        "spec.externalID: this field is deprecated, and is unused by Kubernetes",
        'spec.podCIDRs[0]: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical format ("2001:db8::/64")',
    ]


TWINS = (
    ".metadata.ownerReferences contains duplicate entries{}; API server dedups owner references in 1.20+, and may reject such "
    "requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}"
)


def test_an_owner_that_is_named_twice(room, name):
    """It is kept once, and that is said."""
    owner = room.make("configmaps", config_map(f"{name}-owner"))["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["name"], "uid": owner["uid"]}
    answer = room.create("configmaps", config_map(name, ownerReferences=[reference, reference]))
    assert told(answer) == [TWINS.format("", owner["uid"])]
    assert answer.json["metadata"]["ownerReferences"] == [reference]
    body = config_map(name, ownerReferences=[reference, reference])
    assert told(room.put("configmaps", name, body)) == [TWINS.format("", owner["uid"])]
    twice = {"metadata": {"ownerReferences": [reference, reference]}}
    answer = room.patch("configmaps", name, "merge", twice)
    assert told(answer) == [TWINS.format(" after mutating admission happens", owner["uid"])]
    assert answer.json["metadata"]["ownerReferences"] == [reference]


def test_many_warnings(room, name):
    """All together are no longer than some thousand characters: each is cut, and the last are left out."""
    body = config_map(name) | {f"{number:0100}": 1 for number in range(60)}
    texts = told(room.create("configmaps", body, dryRun="All"))
    assert sorted(map(len, texts)) == [len('unknown field ""') + 100] * 36


def test_long_warnings(room, name):
    """Each is cut at 256 characters where all are too long."""
    body = config_map(name) | {"a" * 3000: 1, "b" * 3000: 1}
    assert sorted(told(room.create("configmaps", body, dryRun="All"))) == sorted(
        f'unknown field "{letter * 3000}"'[:256] for letter in "ab"
    )
