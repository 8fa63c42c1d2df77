"""DaemonSets: one pod on each node that fits."""

import pytest
from rig.objects import container, template, workload


def make(room, name, script="exec sleep 1000000", **spec):
    """A DaemonSet of sleepers."""
    more = spec.pop("pod", {})
    pods = template(
        container(room.image, script), labels={"app": name}, **({"terminationGracePeriodSeconds": 0} | more)
    )
    return room.make("daemonsets", workload("DaemonSet", name, pods, **spec))


def nodes(room):
    """The names of the nodes on which anything may run."""
    found = room.api.get("/api/v1/nodes").ok["items"]
    return sorted(
        each["metadata"]["name"]
        for each in found
        if not each["spec"].get("taints") and not each["spec"].get("unschedulable")
    )


def pods(room, name, number):
    """Its pods, once there are so many that are not being deleted."""

    def find(items):
        living = [each for each in items if "deletionTimestamp" not in each["metadata"]]
        return len(living) == number and (living or [None])

    return room.until_all("pods", find, labelSelector=f"app={name}")


def test_a_pod_on_each_node(pod_room, name):
    """Each node gets one pod, meant for it by affinity and put there by the scheduler."""
    make(pod_room, name)
    wanted = nodes(pod_room)
    pods(pod_room, name, len(wanted))
    found = pod_room.until_all(
        "pods",
        lambda items: all(each["spec"].get("nodeName") for each in items) and items,
        labelSelector=f"app={name}",
    )
    assert sorted(each["spec"]["nodeName"] for each in found) == wanted
    terms = found[0]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert terms == [
        {
            "matchFields": [
                {"key": "metadata.name", "operator": "In", "values": [found[0]["spec"]["nodeName"]]}
            ]
        }
    ]


def test_what_its_pods_bear(pod_room, name):
    """A daemon's pod bears everything that a node can suffer from."""
    make(pod_room, name)
    found = pods(pod_room, name, len(nodes(pod_room)))[0]
    borne = {(each["key"].rpartition("/")[2], each["effect"]) for each in found["spec"]["tolerations"]}
    assert borne == {
        ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"), ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
    }  # fmt: skip


def test_labels_of_its_pods(pod_room, name):
    """A daemon's pod carries the revision of its template."""
    made = make(pod_room, name)
    found = pods(pod_room, name, len(nodes(pod_room)))[0]
    assert {"controller-revision-hash", "pod-template-generation"} <= set(found["metadata"]["labels"])
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("DaemonSet", made["metadata"]["uid"])


def test_its_status(pod_room, name):
    """The status counts nodes."""
    make(pod_room, name)
    number = len(nodes(pod_room))
    found = pod_room.until(
        "daemonsets", name, lambda each: each["status"].get("numberAvailable") == number and each
    )["status"]
    keys = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberMisscheduled",
    )
    assert [found.get(key) for key in keys] == [number, number, number, number, 0]


def test_a_node_that_does_not_fit(pod_room, name):
    """Where no node fits, nothing is wanted."""
    make(pod_room, name, pod={"nodeSelector": {"no": "where"}})
    found = pod_room.until(
        "daemonsets", name, lambda each: each["status"].get("observedGeneration") == 1 and each
    )
    assert found["status"]["desiredNumberScheduled"] == 0
    assert pod_room.get("pods", labelSelector=f"app={name}").ok["items"] == []


def test_a_node_that_no_longer_fits(pod_room, name):
    """When nodes stop to fit, pods go."""
    make(pod_room, name)
    pods(pod_room, name, len(nodes(pod_room)))
    pod_room.patch(
        "daemonsets", name, "merge", {"spec": {"template": {"spec": {"nodeSelector": {"no": "where"}}}}}
    )
    pods(pod_room, name, 0)


def test_a_deleted_pod_comes_back(pod_room, name):
    """A daemon that is deleted comes back."""
    make(pod_room, name)
    first = pods(pod_room, name, len(nodes(pod_room)))[0]
    pod_room.delete("pods", first["metadata"]["name"])
    pod_room.until_gone("pods", first["metadata"]["name"])
    pods(pod_room, name, len(nodes(pod_room)))


def test_a_rollout(pod_room, name):
    """A new template replaces each pod."""
    make(pod_room, name)
    number = len(nodes(pod_room))
    pod_room.until("daemonsets", name, lambda each: each["status"].get("numberAvailable") == number)
    pod_room.patch(
        "daemonsets", name, "merge", {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
    )
    found = pod_room.until(
        "daemonsets",
        name,
        lambda each: (
            each["status"].get("observedGeneration") == 2
            and each["status"].get("updatedNumberScheduled")
            == number
            == each["status"].get("numberAvailable")
            and each
        ),
    )
    assert found["metadata"]["generation"] == 2


def test_on_delete(pod_room, name):
    """OnDelete leaves pods alone."""
    make(pod_room, name, updateStrategy={"type": "OnDelete"})
    first = pods(pod_room, name, len(nodes(pod_room)))[0]
    pod_room.patch(
        "daemonsets", name, "merge", {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
    )
    pod_room.until("daemonsets", name, lambda each: each["status"].get("observedGeneration") == 2)
    assert pod_room.get("pods", first["metadata"]["name"]).ok["metadata"]["uid"] == first["metadata"]["uid"]


def test_revisions(pod_room, name):
    """Each template is kept as a ControllerRevision."""
    make(pod_room, name, pod={"nodeSelector": {"no": "where"}})
    (found,) = pod_room.until_all(
        "controllerrevisions", lambda items: len(items) == 1 and items, labelSelector=f"app={name}"
    )
    assert (found["revision"], found["metadata"]["ownerReferences"][0]["kind"]) == (1, "DaemonSet")


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_pods_that_would_end(pod_room, name, policy):
    """A daemon's pods restart always."""
    body = workload("DaemonSet", name, template(container("a:1"), labels={"app": name}, restartPolicy=policy))
    answer = pod_room.create("daemonsets", body)
    text = f'Unsupported value: "{policy}": supported values: "Always"'
    assert answer.causes == [("spec.template.spec.restartPolicy", "FieldValueNotSupported", text)]
