"""What the scheduler does, and what it says."""

import pytest
from rig.objects import container, pod


def make(room, name, image=None, **spec):
    """A pod that ends at once, if it ever starts."""
    one = container(image or room.image, "exit 0", **spec.pop("of", {}))
    return room.make("pods", pod(name, one, restartPolicy="Never", **spec))


def refusal(room, name):
    """The PodScheduled condition of a pod that does not fit."""

    def find(each):
        found = [
            one
            for one in each["status"].get("conditions", [])
            if one["type"] == "PodScheduled" and one["status"] == "False"
        ]
        return found and found[0]

    return room.until("pods", name, find)


def nodes(api):
    """How many nodes there are."""
    return len(api.get("/api/v1/nodes").ok["items"])


def test_a_pod_is_put_on_a_node(pod_room, name):
    """A pod gets a node and a condition that says so."""
    make(pod_room, name)
    found = pod_room.until("pods", name, lambda each: each["spec"].get("nodeName") and each)
    (condition,) = [each for each in found["status"]["conditions"] if each["type"] == "PodScheduled"]
    assert condition["status"] == "True"


def test_where_it_was_put_is_told(pod_room, name):
    """An Event says where a pod was put."""
    make(pod_room, name)
    node = pod_room.until("pods", name, lambda each: each["spec"].get("nodeName"))

    def find(items):
        return [
            each["message"]
            for each in items
            if each["involvedObject"]["name"] == name and each["reason"] == "Scheduled"
        ]

    assert pod_room.until_all("events", find) == [f"Successfully assigned {pod_room.name}/{name} to {node}"]


TOLERATE = [{"operator": "Exists"}]
NO_HELP = "Preemption is not helpful for scheduling"
REFUSALS = {
    "selector": ({"nodeSelector": {"no": "where"}}, "{n} node(s) didn't match Pod's node affinity/selector"),
    "affinity": ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "no", "operator": "Exists"}]}]}}}}, "{n} node(s) didn't match Pod's node affinity/selector"),
    "pod-affinity": ({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"no": "body"}}}]}}}, "{n} node(s) didn't match pod affinity rules"),
    "spread": ({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "no.such/key", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"no": "body"}}}]}, "{n} node(s) didn't match pod topology spread constraints (missing required label)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_why_it_does_not_fit(api, pod_room, name, case):
    """A pod that fits nowhere says on how many nodes for which reason, and that nobody could make room."""
    spec, reason = REFUSALS[case]
    make(pod_room, name, tolerations=TOLERATE, **spec)
    number = nodes(api)
    found = refusal(pod_room, name)
    text = f"0/{number} nodes are available: {reason.format(n=number)}. preemption: 0/{number} nodes are available: {number} {NO_HELP}."
    assert found["reason"] == "Unschedulable"
    assert found["message"] in (
        text,
        text.replace("preemption: ", "no new claims to deallocate, preemption: "),
    )


@pytest.mark.parametrize(
    ("resource", "amount"), [("cpu", "100000"), ("memory", "100000Gi"), ("example.com/thing", "1")]
)
def test_too_much_is_asked_for(api, pod_room, name, resource, amount):
    """What no node has is named."""
    make(
        pod_room,
        name,
        tolerations=TOLERATE,
        of={"resources": {"requests": {resource: amount}, "limits": {resource: amount}}},
    )
    number = nodes(api)
    assert refusal(pod_room, name)["message"].startswith(
        f"0/{number} nodes are available: {number} Insufficient {resource}."
    )


def test_why_it_does_not_fit_is_told(pod_room, name):
    """An Event says the same as the condition."""
    make(pod_room, name, nodeSelector={"no": "where"})
    text = refusal(pod_room, name)["message"]

    def find(items):
        return [
            (each["type"], each["message"])
            for each in items
            if each["involvedObject"]["name"] == name and each["reason"] == "FailedScheduling"
        ]

    assert pod_room.until_all("events", find)[0] == ("Warning", text)


def test_a_claim_that_is_not_there(api, pod_room, name):
    """A pod waits for its claim, which is named."""
    make(
        pod_room,
        name,
        tolerations=TOLERATE,
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "no-such-claim"}}],
    )
    number = nodes(api)
    assert refusal(pod_room, name)["message"].startswith(
        f'0/{number} nodes are available: persistentvolumeclaim "no-such-claim" not found.'
    )


def test_gates(pod_room, name):
    """A pod with a gate waits until the gate is taken off."""
    make(pod_room, name, schedulingGates=[{"name": "example.com/wait"}])
    found = refusal(pod_room, name)
    assert (found["reason"], found["message"]) == (
        "SchedulingGated",
        "Scheduling is blocked due to non-empty scheduling gates",
    )
    pod_room.patch("pods", name, "merge", {"spec": {"schedulingGates": []}})
    assert pod_room.until("pods", name, lambda each: each["spec"].get("nodeName"))


def test_an_unknown_scheduler(pod_room, name):
    """A pod for another scheduler is left alone."""
    make(pod_room, f"{name}-other", schedulerName="nobody")
    make(pod_room, name)
    pod_room.until("pods", name, lambda each: each["spec"].get("nodeName"))
    found = pod_room.get("pods", f"{name}-other").ok
    assert ("nodeName" in found["spec"], found["status"].get("conditions")) == (False, None)


def test_a_label_that_comes(api, pod_room, name):
    """A pod that waits for a label is scheduled when a node gets it."""
    make(pod_room, name, tolerations=TOLERATE, nodeSelector={f"example.com/{name}": "x"})
    refusal(pod_room, name)
    node = api.get("/api/v1/nodes").ok["items"][0]["metadata"]["name"]
    label = {"metadata": {"labels": {f"example.com/{name}": "x"}}}
    assert api.patch(f"/api/v1/nodes/{node}", "merge", label).ok
    assert pod_room.until("pods", name, lambda each: each["spec"].get("nodeName")) == node
    label["metadata"]["labels"][f"example.com/{name}"] = None
    api.patch(f"/api/v1/nodes/{node}", "merge", label)


def test_a_class_of_priority(pod_room, name):
    """A class gives a pod its priority; an unknown one is refused."""
    found = make(pod_room, name, priorityClassName="system-node-critical", schedulerName="nobody")
    assert found["spec"]["priority"] == 2_000_001_000
    answer = pod_room.create("pods", pod(f"{name}-b", container("a:1"), priorityClassName="nonsense"))
    assert answer.error == (
        403,
        "Forbidden",
        f'pods "{name}-b" is forbidden: no PriorityClass with name nonsense was found',
    )


def test_two_that_do_not_go_together(api, pod_room, name):
    """A pod that does not want to be beside another does not go where it is."""
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"case": name}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    number = nodes(api)
    for index in range(number + 1):
        pod_room.make(
            "pods",
            pod(
                f"{name}-{index}",
                container(pod_room.image, "exec sleep 1000000"),
                labels={"case": name},
                affinity=apart,
                terminationGracePeriodSeconds=0,
                tolerations=TOLERATE,
            ),
        )
        if index < number:
            pod_room.until("pods", f"{name}-{index}", lambda each: each["spec"].get("nodeName"))
    text = refusal(pod_room, f"{name}-{number}")["message"]
    assert text.startswith(
        f"0/{number} nodes are available: {number} node(s) didn't match pod anti-affinity rules."
    )
