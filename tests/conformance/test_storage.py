"""Claims, volumes and paths of the node."""

import pytest
from rig.objects import container, pod, service, template, workload

VOLUMES, CLAIMS = "/api/v1/persistentvolumes", "persistentvolumeclaims"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
NO_HELP = "Preemption is not helpful for scheduling"
TOLERATE = [{"operator": "Exists"}]


@pytest.fixture
def volumes(api, name):
    """Make volumes of a class that is the case's own; they and the class go with it."""
    made = []

    def make(suffix="v", size="1Gi", **spec):
        path = {"hostPath": {"path": f"/tmp/{name}-{suffix}", "type": "DirectoryOrCreate"}}
        wanted = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size},
            "storageClassName": name,
            "persistentVolumeReclaimPolicy": "Retain",
        }
        source = {} if "local" in spec else path
        metadata = {"name": f"{name}-{suffix}", "labels": {"suffix": suffix}}
        made.append(metadata["name"])
        return api.post(VOLUMES, {"metadata": metadata, "spec": wanted | source | spec}).ok

    yield make
    for each in made:
        api.patch(f"{VOLUMES}/{each}", "merge", {"metadata": {"finalizers": None}})
        api.delete(f"{VOLUMES}/{each}")
    api.delete(f"{CLASSES}/{name}")


def make_class(api, name, **spec):
    """A class of the case's own that waits for the first consumer."""
    wanted = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    api.post(CLASSES, {"metadata": {"name": name}} | wanted | spec).ok  # noqa: B018


@pytest.fixture
def provisioner(api):
    """Whether claims of the default class are served; a lab's cluster may have none who does."""
    marked = "storageclass.kubernetes.io/is-default-class"
    for each in api.get(CLASSES).ok["items"]:
        if (each["metadata"].get("annotations") or {}).get(marked) == "true":
            if each["provisioner"] != "rancher.io/local-path":
                pytest.skip(f"the default class is served by {each['provisioner']}")
            return each
    pytest.skip("there is no default class")


def claim(room, name, of_class, size="100Mi", **spec):
    """A claim; `of_class` None says nothing of a class."""
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    wanted |= {} if of_class is None else {"storageClassName": of_class}
    return room.make(CLAIMS, {"metadata": {"name": name}, "spec": wanted | spec})


def user(room, name, script, of=None, **spec):
    """A pod with a claim at /data."""
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": of or name}}
    mounts = [{"name": "data", "mountPath": "/data"}]
    one = container(room.image, script, volumeMounts=mounts)
    given = {"volumes": [volume], "restartPolicy": "Never", "tolerations": TOLERATE}
    return room.make("pods", pod(name, one, **given | spec))


def until_phase(room, name, phase):
    """The claim, once it is in that phase."""
    return room.until(CLAIMS, name, lambda each: each.get("status", {}).get("phase") == phase and each)


def until_volume(api, name, phase):
    """The volume, once it is in that phase."""

    def holds(items):
        return items and items[0].get("status", {}).get("phase") == phase and items[0]

    return api.until(VOLUMES, holds, fieldSelector=f"metadata.name={name}")


def until_gone(api, name):
    """Wait until a volume is not there."""
    api.until(VOLUMES, lambda items: not items, fieldSelector=f"metadata.name={name}")


def told(room, name, reason):
    """The first message of an Event about an object."""

    def find(items):
        return [
            each["message"]
            for each in items
            if each["involvedObject"]["name"] == name and each["reason"] == reason
        ]

    return room.until_all("events", find)[0]


def refusal(room, name):
    """Why a pod is not scheduled."""

    def find(each):
        found = [one for one in each["status"].get("conditions", []) if one["type"] == "PodScheduled"]
        return found and found[0]["status"] == "False" and found[0]["message"]

    return room.until("pods", name, find)


def nodes(api):
    """The names of the nodes."""
    return [each["metadata"]["name"] for each in api.get("/api/v1/nodes").ok["items"]]


def reached_by(*names):
    """The affinity of a volume that these nodes reach."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(names)}
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}


def test_a_claim_gets_a_volume(api, room, volumes, name):
    """Both are Bound, name each other, and say that the controller did it."""
    volumes()
    made = claim(room, name, name)
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    found = until_phase(room, name, "Bound")
    assert found["spec"]["volumeName"] == f"{name}-v"
    assert found["status"] == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
    }
    assert found["metadata"]["annotations"] == {
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
    }
    volume = until_volume(api, f"{name}-v", "Bound")
    assert volume["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert volume["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}
    reference = volume["spec"]["claimRef"]
    assert reference.pop("resourceVersion")
    assert reference == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": room.name,
        "name": name,
        "uid": made["metadata"]["uid"],
    }


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        ({}, "middle"),
        ({"size": "3Gi"}, "large"),
        ({"accessModes": ["ReadWriteMany"]}, "many"),
        ({"selector": {"matchLabels": {"suffix": "large"}}}, "large"),
        ({"volumeName": "large"}, "large"),
    ],
    ids=["smallest", "size", "modes", "selector", "name"],
)
def test_which_volume_a_claim_gets(api, room, volumes, name, spec, chosen):
    """The smallest that has the size, the modes and the labels that are asked for; or the one that is named."""
    volumes("small", "1Mi")
    volumes("large", "10Gi")
    volumes("middle", "1Gi")
    volumes("many", "5Gi", accessModes=["ReadWriteOnce", "ReadWriteMany"])
    for each in ("small", "large", "middle", "many"):
        until_volume(api, f"{name}-{each}", "Available")
    wanted = dict(spec)
    if "volumeName" in wanted:
        wanted["volumeName"] = f"{name}-{wanted['volumeName']}"
    claim(room, name, name, **wanted)
    assert until_phase(room, name, "Bound")["spec"]["volumeName"] == f"{name}-{chosen}"


def test_a_volume_that_is_meant_for_a_claim(api, room, volumes, name):
    """A volume that names a claim goes to that one alone."""
    volumes(claimRef={"namespace": room.name, "name": name})
    until_volume(api, f"{name}-v", "Available")
    claim(room, f"{name}-other", name)
    claim(room, name, name)
    assert until_phase(room, name, "Bound")["spec"]["volumeName"] == f"{name}-v"
    assert "annotations" not in until_volume(api, f"{name}-v", "Bound")["metadata"]
    assert room.get(CLAIMS, f"{name}-other").ok["status"] == {"phase": "Pending"}


def test_a_claim_without_a_class(room, name):
    """The empty class is no class: only a volume without one would do."""
    claim(room, name, "")
    text = "no persistent volumes available for this claim and no storage class is set"
    assert told(room, name, "FailedBinding") == text


def test_a_class_that_is_not_there(room, name):
    """An unknown class is named."""
    claim(room, name, name)
    text = f'storageclass.storage.k8s.io "{name}" not found'
    assert told(room, name, "ProvisioningFailed") == text


def test_another_provisioner_is_asked(api, room, volumes, name):
    """A claim says by annotations whom it waits for."""
    make_class(api, name, provisioner="example.com/x", volumeBindingMode="Immediate")
    claim(room, name, name)
    assert told(room, name, "ExternalProvisioning").startswith(
        "Waiting for a volume to be created either by the external provisioner 'example.com/x' or manually"
    )
    found = room.get(CLAIMS, name).ok["metadata"]["annotations"]
    assert found["volume.kubernetes.io/storage-provisioner"] == "example.com/x"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"size": "5Gi"}, "requested PV is too small"),
        ({"of_class": "other"}, "storageClassName does not match"),
        ({"accessModes": ["ReadOnlyMany"]}, "incompatible accessMode"),
        ({"volumeMode": "Block"}, "incompatible volumeMode"),
    ],
    ids=["size", "class", "modes", "mode"],
)
def test_a_named_volume_that_does_not_fit(api, room, volumes, name, spec, why):
    """A claim that names a volume which is not for it says why."""
    volumes()
    until_volume(api, f"{name}-v", "Available")
    claim(room, name, **{"of_class": name} | spec, volumeName=f"{name}-v")
    text = f'Cannot bind to requested volume "{name}-v": {why}'
    assert told(room, name, "VolumeMismatch") == text


def test_a_claim_in_use_stays(api, pod_room, volumes, name):
    """A claim that is deleted stays until its pod is gone; its volume is Released then, and free when it is untied."""
    volumes()
    claim(pod_room, name, name)
    user(pod_room, name, "exec sleep 1000000", terminationGracePeriodSeconds=0)
    pod_room.until("pods", name, lambda each: each["status"].get("phase") == "Running")
    assert pod_room.delete(CLAIMS, name).ok["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    user(pod_room, f"{name}-late", "true", of=name)
    number = len(nodes(api))
    text = f'0/{number} nodes are available: persistentvolumeclaim "{name}" is being deleted. not found'
    assert refusal(pod_room, f"{name}-late") == text
    pod_room.delete("pods", name)
    pod_room.until_gone(CLAIMS, name)
    assert until_volume(api, f"{name}-v", "Released")["spec"]["claimRef"]["name"] == name
    api.patch(f"{VOLUMES}/{name}-v", "merge", {"spec": {"claimRef": None}})
    until_volume(api, f"{name}-v", "Available")


def test_a_bound_volume_stays(api, room, volumes, name):
    """A bound volume that is deleted goes with its claim; a free one goes at once."""
    volumes()
    volumes("free", storageClassName=f"{name}-free")
    until_volume(api, f"{name}-free", "Available")
    claim(room, name, name)
    until_phase(room, name, "Bound")
    for each in ("v", "free"):
        api.delete(f"{VOLUMES}/{name}-{each}")
    until_gone(api, f"{name}-free")
    assert "deletionTimestamp" in api.get(f"{VOLUMES}/{name}-v").ok["metadata"]
    room.delete(CLAIMS, name)
    until_gone(api, f"{name}-v")


def test_a_claim_that_lost_its_volume(api, room, volumes, name):
    """A claim whose volume is taken away by force is Lost."""
    volumes()
    claim(room, name, name)
    until_phase(room, name, "Bound")
    api.delete(f"{VOLUMES}/{name}-v")
    api.patch(f"{VOLUMES}/{name}-v", "merge", {"metadata": {"finalizers": None}})
    assert until_phase(room, name, "Lost")["status"] == {"phase": "Lost"}
    text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    assert told(room, name, "ClaimLost") == text


def test_a_volume_that_can_not_be_deleted(api, room, volumes, name):
    """A path that nobody would delete fails its volume."""
    spec = {"hostPath": {"path": f"/srv/{name}"}, "persistentVolumeReclaimPolicy": "Delete"}
    volumes(**spec)
    claim(room, name, name)
    until_phase(room, name, "Bound")
    room.delete(CLAIMS, name)
    text = f"host_path deleter only supports /tmp/.+ but received provided /srv/{name}"
    assert until_volume(api, f"{name}-v", "Failed")["status"]["message"] == text


def test_a_pod_waits_for_its_claim(api, pod_room, volumes, name):
    """A pod whose claim has no volume says so, and goes on when there is one."""
    claim(pod_room, name, name)
    user(pod_room, name, "exit 0")
    number = len(nodes(api))
    text = f"0/{number} nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    assert refusal(pod_room, name) == text
    volumes()
    pod_room.until("pods", name, lambda each: each["status"].get("phase") == "Succeeded")


def test_a_volume_out_of_reach(api, pod_room, volumes, name):
    """A pod does not go where its volume is not reached."""
    volumes(**reached_by("no-such-node"))
    claim(pod_room, name, name)
    until_phase(pod_room, name, "Bound")
    user(pod_room, name, "exit 0")
    number = len(nodes(api))
    text = f"0/{number} nodes are available: {number} node(s) didn't match PersistentVolume's node affinity."
    assert refusal(pod_room, name).startswith(text)


def test_a_claim_that_waits_for_its_pod(api, pod_room, volumes, name):
    """It gets a volume that its pod's node reaches, when there is a pod and such a volume."""
    make_class(api, name)
    volumes("away", "1Mi", **reached_by("no-such-node"))
    claim(pod_room, name, name, "1Mi")
    text = "waiting for first consumer to be created before binding"
    assert told(pod_room, name, "WaitForFirstConsumer") == text
    user(pod_room, name, "exit 0")
    number = len(nodes(api))
    text = f"{number} node(s) didn't find available persistent volumes to bind."
    assert f"0/{number} nodes are available: {text}" in refusal(pod_room, name)
    volumes("here", "1Gi", **reached_by(*nodes(api)))
    pod_room.until("pods", name, lambda each: each["status"].get("phase") == "Succeeded")
    assert until_phase(pod_room, name, "Bound")["spec"]["volumeName"] == f"{name}-here"


def test_data_outlives_its_pod(api, pod_room, volumes, name):
    """What one pod writes into a claim, the next one on that node reads."""
    node = nodes(api)[0]
    volumes(**reached_by(node))
    claim(pod_room, name, name)
    for each, script in (("first", "echo one > /data/x"), ("second", "grep one /data/x")):
        user(pod_room, f"{name}-{each}", script, of=name)
        ended = pod_room.until(
            "pods",
            f"{name}-{each}",
            lambda found: found["status"].get("phase") in ("Succeeded", "Failed") and found,
        )
        assert ended["status"]["phase"] == "Succeeded"


def brings_along(room, name, of_class):
    """A pod that brings its claim along, and ends."""
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    wanted = {"metadata": {"labels": {"a": "b"}}, "spec": asked | {"storageClassName": of_class}}
    volume = {"name": "data", "ephemeral": {"volumeClaimTemplate": wanted}}
    return user(room, name, "echo one > /data/x", volumes=[volume])


def test_a_claim_that_a_pod_brings_along(pod_room, volumes, name):
    """It is made with the pod, is the pod's own, and goes with it."""
    volumes()
    made = brings_along(pod_room, name, name)
    pod_room.until("pods", name, lambda each: each["status"].get("phase") == "Succeeded")
    found = pod_room.get(CLAIMS, f"{name}-data").ok["metadata"]
    assert found["labels"] == {"a": "b"}
    assert found["ownerReferences"] == [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": name,
            "uid": made["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    pod_room.delete("pods", name)
    pod_room.until_gone(CLAIMS, f"{name}-data")


def test_a_claim_that_is_somebody_else_s(api, pod_room, name):
    """A pod does not take a claim that has the name of its own."""
    claim(pod_room, f"{name}-data", name)
    brings_along(pod_room, name, name)
    where = pod_room.name
    text = f"PVC {where}/{name}-data was not created for pod {where}/{name} (pod is not owner)"
    number = len(nodes(api))
    assert refusal(pod_room, name) == f"0/{number} nodes are available: {text}. not found"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Directory", "hostPath type check failed: {} is not a directory"),
        ("File", "hostPath type check failed: {} is not a file"),
        ("Socket", "hostPath type check failed: {} is not a socket file"),
        ("FileOrCreate", "open {}: no such file or directory"),
    ],
)
def test_a_path_that_is_not_there(pod_room, name, kind, text):
    """A pod waits for a path of its node that is not what it says."""
    path = f"/srv/{name}/x"
    volume = {"name": "v", "hostPath": {"path": path, "type": kind}}
    one = container(pod_room.image, "exit 0", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    pod_room.make("pods", pod(name, one, volumes=[volume], tolerations=TOLERATE))
    said = f'MountVolume.SetUp failed for volume "v" : {text.format(path)}'
    assert told(pod_room, name, "FailedMount") == said


@pytest.mark.parametrize(("kind", "test"), [("", "-d"), ("DirectoryOrCreate", "-d"), ("FileOrCreate", "-f")])
def test_a_path_that_is_made(pod_room, name, kind, test):
    """What a path of the node says may be made is made."""
    volume = {"name": "v", "hostPath": {"path": f"/tmp/{name}", "type": kind}}
    one = container(pod_room.image, f"test {test} /v", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    given = {"volumes": [volume], "restartPolicy": "Never", "tolerations": TOLERATE}
    pod_room.make("pods", pod(name, one, **given))
    pod_room.until("pods", name, lambda each: each["status"].get("phase") == "Succeeded")


def test_a_claim_is_made_a_volume(api, pod_room, name, provisioner):
    """A claim without a class has the default one, gets a folder of its pod's node, and takes it along."""
    made = claim(pod_room, name, None)
    assert made["spec"]["storageClassName"] == provisioner["metadata"]["name"]
    user(pod_room, name, "exit 0")
    ended = pod_room.until("pods", name, lambda each: each["status"].get("phase") == "Succeeded" and each)
    node = ended["spec"]["nodeName"]
    found = until_phase(pod_room, name, "Bound")
    volume = api.get(f"{VOLUMES}/{found['spec']['volumeName']}").ok
    assert volume["metadata"]["name"] == f"pvc-{made['metadata']['uid']}"
    assert volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] == "rancher.io/local-path"
    assert found["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == node
    assert volume["spec"]["hostPath"]["path"].endswith(
        f"/pvc-{made['metadata']['uid']}_{pod_room.name}_{name}"
    )
    assert volume["spec"]["nodeAffinity"] == reached_by(node)["nodeAffinity"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    text = f"Successfully provisioned volume {volume['metadata']['name']}"
    assert told(pod_room, name, "ProvisioningSucceeded") == text
    # A pod that has ended keeps its claim.
    assert pod_room.delete(CLAIMS, name).status == 200
    assert "deletionTimestamp" in pod_room.get(CLAIMS, name).ok["metadata"]
    pod_room.delete("pods", name)
    pod_room.until_gone(CLAIMS, name)
    until_gone(api, volume["metadata"]["name"])


def test_a_stateful_set_keeps_its_data(pod_room, name, provisioner):
    """A pod that is replaced finds what it had written."""
    pod_room.make("services", service(name, {"app": name}, {"port": 80}, clusterIP="None"))
    twice = {"exec": {"command": ["sh", "-c", "test $(wc -l < /data/x) = 2"]}, "periodSeconds": 1}
    script = "echo here >> /data/x; trap 'exit 0' TERM; sleep 1000000 & wait"
    mounts = [{"name": "data", "mountPath": "/data"}]
    one = container(pod_room.image, script, volumeMounts=mounts, readinessProbe=twice)
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    pods = template(one, labels={"app": name}, tolerations=TOLERATE)
    claims = [{"metadata": {"name": "data"}, "spec": wanted}]
    body = workload("StatefulSet", name, pods, replicas=1, serviceName=name, volumeClaimTemplates=claims)
    pod_room.make("statefulsets", body)

    def state(each):
        ready = [one["status"] for one in each["status"].get("conditions", []) if one["type"] == "Ready"]
        return each["status"].get("phase") == "Running" and ready

    assert pod_room.until("pods", f"{name}-0", state) == ["False"]
    pod_room.delete("pods", f"{name}-0")
    pod_room.until("pods", f"{name}-0", lambda each: state(each) == ["True"])


def test_a_claim_that_no_folder_does_for(pod_room, name, provisioner):
    """A folder of a node is for that node alone."""
    claim(pod_room, name, None, accessModes=["ReadWriteMany"])
    user(pod_room, name, "exit 0")
    why = "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes"
    of_class = provisioner["metadata"]["name"]
    text = f'failed to provision volume with StorageClass "{of_class}": {why}'
    assert told(pod_room, name, "ProvisioningFailed") == text


def test_a_claim_for_one_pod(api, pod_room, name, provisioner):
    """A ReadWriteOncePod claim keeps a second pod waiting."""
    claim(pod_room, name, None, accessModes=["ReadWriteOncePod"])
    user(pod_room, f"{name}-a", "exec sleep 1000000", of=name, terminationGracePeriodSeconds=0)
    pod_room.until("pods", f"{name}-a", lambda each: each["spec"].get("nodeName"))
    user(pod_room, f"{name}-b", "exit 0", of=name)
    number = len(nodes(api))
    text = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
    assert f"{number} {text}." in refusal(pod_room, f"{name}-b")


def test_a_bound_claim_is_as_large_as_it_is(pod_room, room, volumes, name):
    """Its class has to allow growth, and nothing shrinks below what it has got."""
    volumes()
    claim(room, name, name)
    until_phase(room, name, "Bound")

    def resize(size):
        return room.patch(CLAIMS, name, "merge", {"spec": {"resources": {"requests": {"storage": size}}}})

    why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
    assert resize("2Gi").error == (403, "Forbidden", f'persistentvolumeclaims "{name}" is forbidden: {why}')
    text = "Forbidden: field can not be less than status.capacity"
    assert resize("1Mi").causes == [("spec.resources.requests.storage", "FieldValueForbidden", text)]


def test_cells_of_claims_and_volumes(api, room, volumes, name):
    """What `kubectl get pv,pvc` shows."""
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    volumes(accessModes=["ReadWriteOnce", "ReadWriteMany"])
    claim(room, name, name)
    until_phase(room, name, "Bound")
    until_volume(api, f"{name}-v", "Bound")
    (row,) = api.get(f"{VOLUMES}/{name}-v", headers=table).ok["rows"]
    assert row["cells"][:9] == [
        f"{name}-v", "1Gi", "RWO,RWX", "Retain", "Bound", f"{room.name}/{name}", name, "<unset>", "",
    ]  # fmt: skip
    (row,) = room.get(CLAIMS, name, headers=table).ok["rows"]
    assert row["cells"][:7] == [name, "Bound", f"{name}-v", "1Gi", "RWO,RWX", name, "<unset>"]
