"""StatefulSets, on pods whose status their case writes."""

import pytest
from rig.objects import container, nowhere, ready, service, template, workload


def make(room, name, replicas=2, **spec):
    """A StatefulSet and its headless Service."""
    room.make("services", service(name, {"app": name}, {"port": 80}, clusterIP="None"))
    pods = nowhere(template(container("a:1"), labels={"app": name}))
    return room.make(
        "statefulsets", workload("StatefulSet", name, pods, replicas=replicas, serviceName=name, **spec)
    )


def start(room, pod):
    """Wait for a pod and write that it is ready."""
    found = room.until("pods", pod, lambda each: "deletionTimestamp" not in each["metadata"] and each)
    assert room.patch("pods", pod, "strategic", ready("192.0.2.1"), "status").ok
    return found


def names(room, name):
    """The names of the pods that are there."""
    return sorted(
        each["metadata"]["name"] for each in room.get("pods", labelSelector=f"app={name}").ok["items"]
    )


def until(room, name, **status):
    """Wait until a StatefulSet's status is so."""
    return room.until(
        "statefulsets",
        name,
        lambda each: all(each["status"].get(key, 0) == value for key, value in status.items()) and each,
    )


def test_one_after_the_other(pod_room, name):
    """The second pod is made when the first is ready."""
    make(pod_room, name)
    pod_room.until("pods", f"{name}-0", lambda each: each)
    until(pod_room, name, replicas=1)
    assert names(pod_room, name) == [f"{name}-0"]
    start(pod_room, f"{name}-0")
    start(pod_room, f"{name}-1")
    until(pod_room, name, replicas=2, readyReplicas=2, availableReplicas=2)


def test_all_at_once(pod_room, name):
    """Parallel makes all pods at once."""
    make(pod_room, name, 3, podManagementPolicy="Parallel")
    pod_room.until_all("pods", lambda items: len(items) == 3, labelSelector=f"app={name}")
    assert names(pod_room, name) == [f"{name}-{index}" for index in range(3)]


def test_who_a_pod_is(pod_room, name):
    """A pod has its name as host name, the Service as domain, and labels for name and index."""
    made = make(pod_room, name, 1)
    found = pod_room.until("pods", f"{name}-0", lambda each: each)
    assert (found["spec"]["hostname"], found["spec"]["subdomain"]) == (f"{name}-0", name)
    labels = found["metadata"]["labels"]
    assert labels["statefulset.kubernetes.io/pod-name"] == f"{name}-0"
    assert labels["apps.kubernetes.io/pod-index"] == "0"
    assert labels["controller-revision-hash"].startswith(f"{name}-")
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "StatefulSet",
        made["metadata"]["uid"],
        True,
    )


def test_down_from_the_last(pod_room, name):
    """Scaling down takes the highest number first, one after the other."""
    make(pod_room, name, 3)
    for index in range(3):
        start(pod_room, f"{name}-{index}")
    until(pod_room, name, readyReplicas=3)
    pod_room.patch("pods", f"{name}-2", "merge", {"metadata": {"finalizers": ["example.com/hold"]}})
    pod_room.patch("statefulsets", name, "merge", {"spec": {"replicas": 1}}, "scale")
    pod_room.until("pods", f"{name}-2", lambda each: "deletionTimestamp" in each["metadata"])
    assert "deletionTimestamp" not in pod_room.get("pods", f"{name}-1").ok["metadata"]
    pod_room.patch("pods", f"{name}-2", "merge", {"metadata": {"finalizers": None}})
    pod_room.until_gone("pods", f"{name}-1")
    assert names(pod_room, name) == [f"{name}-0"]


def test_a_deleted_pod_comes_back(pod_room, name):
    """A pod that is deleted comes back under its name, when the old one is gone."""
    make(pod_room, name, 1)
    first = start(pod_room, f"{name}-0")
    pod_room.delete("pods", f"{name}-0")
    pod_room.until("pods", f"{name}-0", lambda each: each["metadata"]["uid"] != first["metadata"]["uid"])


def test_a_failed_pod_comes_back(pod_room, name):
    """A pod that has failed is deleted and made again."""
    make(pod_room, name, 1)
    first = pod_room.until("pods", f"{name}-0", lambda each: each)
    pod_room.patch("pods", f"{name}-0", "merge", {"status": {"phase": "Failed"}}, "status")
    pod_room.until("pods", f"{name}-0", lambda each: each["metadata"]["uid"] != first["metadata"]["uid"])


def roll(room, name):
    """Change the template."""
    room.patch(
        "statefulsets",
        name,
        "strategic",
        {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "a:2"}]}}}},
    )


def image(image_name):
    """Whether a pod has an image."""
    return lambda each: each["spec"]["containers"][0]["image"] == image_name


def test_updates_from_the_last(pod_room, name):
    """A new template goes to the highest number first, and on when that is ready."""
    make(pod_room, name)
    for index in range(2):
        start(pod_room, f"{name}-{index}")
    until(pod_room, name, readyReplicas=2)
    roll(pod_room, name)
    pod_room.until("pods", f"{name}-1", image("a:2"))
    assert image("a:1")(pod_room.get("pods", f"{name}-0").ok)
    start(pod_room, f"{name}-1")
    pod_room.until("pods", f"{name}-0", image("a:2"))
    start(pod_room, f"{name}-0")
    done = pod_room.until(
        "statefulsets",
        name,
        lambda each: (
            each["status"].get("currentRevision") == each["status"].get("updateRevision")
            and each["status"].get("updatedReplicas") == 2
            and each
        ),
    )
    assert done["status"]["currentReplicas"] == 2


def test_a_partition(pod_room, name):
    """Pods below the partition keep the old template."""
    make(pod_room, name, updateStrategy={"rollingUpdate": {"partition": 1}})
    for index in range(2):
        start(pod_room, f"{name}-{index}")
    until(pod_room, name, readyReplicas=2)
    roll(pod_room, name)
    pod_room.until("pods", f"{name}-1", image("a:2"))
    start(pod_room, f"{name}-1")
    until(pod_room, name, readyReplicas=2, updatedReplicas=1, currentReplicas=1)
    assert image("a:1")(pod_room.get("pods", f"{name}-0").ok)


def test_on_delete(pod_room, name):
    """OnDelete updates a pod only when somebody deletes it."""
    make(pod_room, name, 1, updateStrategy={"type": "OnDelete"})
    first = start(pod_room, f"{name}-0")
    roll(pod_room, name)
    pod_room.until(
        "statefulsets",
        name,
        lambda each: each["status"].get("currentRevision") != each["status"].get("updateRevision"),
    )
    assert pod_room.get("pods", f"{name}-0").ok["metadata"]["uid"] == first["metadata"]["uid"]
    pod_room.delete("pods", f"{name}-0")
    pod_room.until("pods", f"{name}-0", image("a:2"))


def test_revisions_are_kept(pod_room, name):
    """Each template is kept as a ControllerRevision."""
    make(pod_room, name, 0)
    (first,) = pod_room.until_all(
        "controllerrevisions", lambda items: len(items) == 1 and items, labelSelector=f"app={name}"
    )
    assert (first["revision"], first["metadata"]["ownerReferences"][0]["kind"]) == (1, "StatefulSet")
    assert first["data"]["spec"]["template"]["$patch"] == "replace"
    roll(pod_room, name)
    found = pod_room.until_all(
        "controllerrevisions", lambda items: len(items) == 2 and items, labelSelector=f"app={name}"
    )
    assert sorted(each["revision"] for each in found) == [1, 2]


def test_numbers_that_begin_elsewhere(pod_room, name):
    """ordinals.start is the first number."""
    make(pod_room, name, 1, ordinals={"start": 5})
    pod_room.until("pods", f"{name}-5", lambda each: each)


def test_most_of_it_is_for_good(pod_room, name):
    """Of a StatefulSet's spec little can be changed, and the rest is refused in one sentence."""
    make(pod_room, name, 0)
    answer = pod_room.patch("statefulsets", name, "merge", {"spec": {"serviceName": "other"}})
    text = "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    assert answer.causes == [("spec", "FieldValueForbidden", text)]


def test_claims_of_templates(pod_room, name):
    """A claim is made for each pod from a claim template, and stays when the pod goes."""
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "nobody",
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    make(pod_room, name, 1, volumeClaimTemplates=[claim])
    found = pod_room.until("pods", f"{name}-0", lambda each: each)
    assert {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{name}-0"}} in found["spec"][
        "volumes"
    ]
    made = pod_room.until("persistentvolumeclaims", f"data-{name}-0", lambda each: each)
    assert made["metadata"]["labels"] == {"app": name}
    assert "ownerReferences" not in made["metadata"]


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_events(pod_room, name, verb):
    """A StatefulSet tells what it does."""
    make(pod_room, name, 1)
    start(pod_room, f"{name}-0")
    if verb == "delete":
        pod_room.patch("statefulsets", name, "merge", {"spec": {"replicas": 0}}, "scale")
    reason, text = {
        "create": ("SuccessfulCreate", "Create Pod {0}-0 in StatefulSet {0} successful"),
        "delete": ("SuccessfulDelete", "Delete Pod {0}-0 in StatefulSet {0} successful"),
    }[verb]

    def find(items):
        return [
            each["message"]
            for each in items
            if each["involvedObject"]["name"] == name and each["reason"] == reason
        ]

    assert pod_room.until_all("events", find) == [text.format(name)]
