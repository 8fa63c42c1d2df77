"""Nodes: objects that no kubelet stands behind, and what becomes of them and of the pods on them."""

import datetime
import threading

import pytest
from rig.objects import container, pod, ready, template, workload
from rig.room import new_name

pytestmark = pytest.mark.cluster_wide
NODES = "/api/v1/nodes"
FAKE = "example.com/fake"
OWN = {"key": FAKE, "effect": "NoSchedule"}
TOLERATES = [{"key": FAKE, "operator": "Exists"}]
# A real cluster gives a node 50 s, looks each 5 s, and has pods to change then.
SILENCE_S = 120.0
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
BEAT_S = 0.5  # a node of the simulation is silent after four seconds


@pytest.fixture
def make_node(api):
    """Makes nodes, ready unless their case says otherwise, whose hearts beat; ordinary pods stay away from them."""
    made = []
    is_over = threading.Event()
    hearts = []

    def make(*, is_ready=True, is_silent=False, **labels):
        name = new_name("conformance")
        spec = {"taints": [OWN]}
        node = api.post(NODES, {"metadata": {"name": name, "labels": {FAKE: name} | labels}, "spec": spec}).ok
        made.append(name)
        if not is_silent:
            assert api.post(LEASES, lease(name)).status == 201
            hearts.append(threading.Thread(target=beat, args=(api, name, is_over)))
            hearts[-1].start()
        if is_ready:
            tell(api, name, Ready="True")
            until(api, name, lambda each: keys(each) == [(FAKE, "NoSchedule")])
        return node

    yield make
    is_over.set()
    for each in hearts:
        each.join()
    for each in made:
        api.delete(f"{NODES}/{each}", {"gracePeriodSeconds": 0})
        api.delete(f"{LEASES}/{each}")


def lease(name):
    """The lease of a node, renewed now."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}
    return {"metadata": {"name": name}, "spec": spec}


def beat(api, name, is_over):
    """Renew a node's lease until its case is over."""
    while not is_over.wait(BEAT_S):
        api.patch(f"{LEASES}/{name}", "merge", {"spec": lease(name)["spec"]})


def tell(api, name, pods="10", **conditions):
    """Say of a node what its kubelet would say."""
    amounts = {"cpu": "4", "memory": "8Gi", "pods": pods}
    listed = [{"type": key, "status": value} for key, value in conditions.items()]
    status = {"capacity": amounts, "allocatable": amounts, "conditions": listed}
    assert api.patch(f"{NODES}/{name}/status", "strategic", {"status": status}).status == 200


def keys(node):
    """Key and effect of each taint, sorted."""
    return sorted((each["key"], each["effect"]) for each in node["spec"].get("taints", []))


def until(api, name, holds):
    """Wait until something holds of a node."""
    return api.until(
        NODES, lambda items: (items and holds(items[0])) or None, fieldSelector=f"metadata.name={name}"
    )


def has(*wanted):
    """Whether a node has these taints beside the one of its case."""
    expected = sorted(
        [(FAKE, "NoSchedule"), *((f"node.kubernetes.io/{key}", effect) for key, effect in wanted)]
    )
    return lambda node: keys(node) == expected


def on(room, node, **spec):
    """A pod that only goes to one node."""
    labels = spec.pop("labels", None)
    chosen = {"nodeSelector": {FAKE: node}, "tolerations": TOLERATES}
    return pod(new_name(), container(room.image), labels=labels, **chosen | spec)


def test_a_new_node_keeps_pods_away(make_node):
    """Until it is known to be ready, it has a taint that says so."""
    node = make_node(is_ready=False)
    assert keys(node) == [(FAKE, "NoSchedule"), ("node.kubernetes.io/not-ready", "NoSchedule")]


def test_it_becomes_ready(api, make_node):
    """The taint goes when its kubelet says that it is ready, and pods are put there."""
    name = make_node(is_ready=False)["metadata"]["name"]
    tell(api, name, Ready="True")
    until(api, name, has())


def test_it_is_not_ready(api, make_node):
    """What is there is to leave, and nothing new comes."""
    name = make_node()["metadata"]["name"]
    tell(api, name, Ready="False")
    until(api, name, has(("not-ready", "NoExecute"), ("not-ready", "NoSchedule")))


PRESSURES = ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"]
TAINTS = ["memory-pressure", "disk-pressure", "pid-pressure", "network-unavailable"]


@pytest.mark.parametrize(("condition", "taint"), list(zip(PRESSURES, TAINTS, strict=True)))
def test_pressure(api, make_node, condition, taint):
    """A condition is a taint, for as long as it holds."""
    name = make_node()["metadata"]["name"]
    tell(api, name, Ready="True", **{condition: "True"})
    until(api, name, has((taint, "NoSchedule")))
    tell(api, name, Ready="True", **{condition: "False"})
    until(api, name, has())


def test_cordoned(api, make_node):
    """An unschedulable node has a taint, until it is schedulable again."""
    name = make_node()["metadata"]["name"]
    assert api.patch(f"{NODES}/{name}", "merge", {"spec": {"unschedulable": True}}).status == 200
    until(api, name, has(("unschedulable", "NoSchedule")))
    assert api.patch(f"{NODES}/{name}", "merge", {"spec": {"unschedulable": None}}).status == 200
    until(api, name, has())


def test_pods_are_put_there(pod_room, make_node):
    """A pod that tolerates its taints goes there, and stays Pending: nobody starts it."""
    name = make_node()["metadata"]["name"]
    made = pod_room.make("pods", on(pod_room, name))["metadata"]["name"]
    found = pod_room.until("pods", made, lambda each: each if each["spec"].get("nodeName") else None)
    assert (found["spec"]["nodeName"], found["status"]["phase"]) == (name, "Pending")


def test_pods_are_spread(own_pod_room, make_node):
    """Over nodes of two zones, pods that are to be spread differ by one at most."""
    zones = {make_node(zone=zone)["metadata"]["name"]: zone for zone in ("a", "b")}
    labels = {"app": "spread"}
    spread = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    terms = [{"matchExpressions": [{"key": FAKE, "operator": "In", "values": list(zones)}]}]
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    }
    spec = {"tolerations": TOLERATES, "topologySpreadConstraints": [spread], "affinity": affinity}
    pods = template(container(own_pod_room.image), labels=labels, **spec)
    own_pod_room.make("replicasets", workload("ReplicaSet", "spread", pods, replicas=5))

    def placed(items):
        found = [zones[each["spec"]["nodeName"]] for each in items if each["spec"].get("nodeName")]
        return sorted(found) if len(found) == 5 else None

    found = own_pod_room.until_all("pods", placed, labelSelector="app=spread")
    assert sorted([found.count("a"), found.count("b")]) == [2, 3]


def test_a_full_node(api, pod_room, make_node):
    """A node takes as many pods as it offers."""
    name = make_node()["metadata"]["name"]
    here = api.get("/api/v1/pods", fieldSelector=f"spec.nodeName={name}").ok["items"]
    tell(api, name, pods=str(len(here) + 1), Ready="True")
    first = pod_room.make("pods", on(pod_room, name))["metadata"]["name"]
    pod_room.until("pods", first, lambda each: each["spec"].get("nodeName"))
    second = pod_room.make("pods", on(pod_room, name))["metadata"]["name"]

    def refusal(each):
        conditions = each["status"].get("conditions", [])
        return next((one["message"] for one in conditions if one.get("reason") == "Unschedulable"), None)

    assert "1 Too many pods" in pod_room.until("pods", second, refusal)


def test_a_daemon_comes_with_it(own_pod_room, make_node):
    """A DaemonSet that tolerates its taints has a pod there, tied to it."""
    labels = {"app": "daemon"}
    pods = template(container(own_pod_room.image), labels=labels, tolerations=TOLERATES)
    pods["spec"]["nodeSelector"] = {"kind": "conformance"}
    own_pod_room.make("daemonsets", workload("DaemonSet", "daemon", pods))
    name = make_node(kind="conformance")["metadata"]["name"]
    found = own_pod_room.until_all(
        "pods", lambda items: [each for each in items if each["spec"].get("nodeName") == name] or None
    )
    [term] = found[0]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": [name]}]


def test_who_does_not_tolerate_it_leaves(api, pod_room, make_node):
    """A NoExecute taint has the pods deleted that do not tolerate it, and the others stay."""
    name = make_node()["metadata"]["name"]
    stays = pod_room.make("pods", on(pod_room, name, tolerations=[{"operator": "Exists"}]))["metadata"][
        "name"
    ]
    goes = pod_room.make("pods", on(pod_room, name))["metadata"]["name"]
    for each in (stays, goes):
        pod_room.until("pods", each, lambda found: found["spec"].get("nodeName"))
    taints = [OWN, {"key": "example.com/out", "effect": "NoExecute"}]
    assert api.patch(f"{NODES}/{name}", "merge", {"spec": {"taints": taints}}).status == 200
    leaving = pod_room.until(
        "pods", goes, lambda each: each if "deletionTimestamp" in each["metadata"] else None
    )
    [why] = [each for each in leaving["status"]["conditions"] if each["type"] == "DisruptionTarget"]
    assert (why["reason"], why["message"]) == (
        "DeletionByTaintManager",
        "Taint manager: deleting due to NoExecute taint",
    )
    assert "deletionTimestamp" not in pod_room.get("pods", stays).ok["metadata"]


def test_a_node_that_falls_silent(api, pod_room, make_node):
    """Nobody hears of it: it is unknown how it is, its pods are not ready, and they are to leave."""
    name = make_node(is_ready=False, is_silent=True)["metadata"]["name"]
    made = pod_room.make("pods", on(pod_room, name, nodeName=name))["metadata"]["name"]
    assert pod_room.patch("pods", made, "strategic", ready("10.0.0.9"), "status").status == 200
    # The last that anybody hears of it.
    tell(api, name, Ready="True")
    api.patience_s = SILENCE_S
    is_left = has(("unreachable", "NoExecute"), ("unreachable", "NoSchedule"))

    def is_silent(node):
        reasons = [each.get("reason") for each in node["status"].get("conditions", [])]
        return node if is_left(node) and "NodeStatusUnknown" in reasons else None

    gone = until(api, name, is_silent)
    conditions = {each["type"]: each for each in gone["status"]["conditions"]}
    assert {
        key: (each["status"], each["reason"])
        for key, each in conditions.items()
        if key != "NetworkUnavailable"
    } == {
        "Ready": ("Unknown", "NodeStatusUnknown"),
        "MemoryPressure": ("Unknown", "NodeStatusNeverUpdated"),
        "DiskPressure": ("Unknown", "NodeStatusNeverUpdated"),
        "PIDPressure": ("Unknown", "NodeStatusNeverUpdated"),
    }
    assert conditions["Ready"]["message"] == "Kubelet stopped posting node status."

    def unready(each):
        found = {one["type"]: one["status"] for one in each["status"]["conditions"]}
        return found["Ready"] == "False"

    assert pod_room.until("pods", made, unready)
