"""Claims and volumes over the real registry and controllers, with nodes that are objects only."""

from __future__ import annotations

from typing import Any

import pytest
from instant_cluster import Cluster, provide_storage, simulate, template

from simcluster.profile import FAITHFUL

Object = dict[str, Any]
PVC, PV, SC = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"


def claim(name: str = "c", *, size: str = "1Gi", **spec: Any) -> Object:
    """A claim of the class `hand`, which nobody provisions, unless it says another."""
    wanted = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "hand",
        "resources": {"requests": {"storage": size}},
    }
    return {"metadata": {"name": name}, "spec": wanted | spec}


def volume(name: str = "v", *, size: str = "1Gi", **spec: Any) -> Object:
    """A volume of the class `hand`."""
    wanted = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "hand",
        "capacity": {"storage": size},
        "hostPath": {"path": f"/tmp/{name}"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    return {"metadata": {"name": name}, "spec": wanted | spec}


def user(name: str = "p", of: str = "c", **spec: Any) -> Object:
    """A pod that uses a claim."""
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": of}}]
    return {"metadata": {"name": name}, "spec": template()["spec"] | {"volumes": volumes} | spec}


def phase(cluster: Cluster, resource: str, name: str) -> str:
    """The phase of a claim or a volume."""
    found: str = cluster.registry.get(resource, "default" if resource == PVC else None, name)["status"][
        "phase"
    ]
    return found


def is_gone(cluster: Cluster, resource: str, name: str) -> bool:
    """Whether an object is not there."""
    namespace = None if resource == PV else "default"
    return name not in [each["metadata"]["name"] for each in cluster.registry.list(resource, namespace)[0]]


def delete(cluster: Cluster, resource: str, name: str) -> None:
    cluster.registry.delete(resource, None if resource == PV else "default", name)


def test_a_claim_of_the_default_class_from_pod_to_end() -> None:
    """It waits for its pod, gets a volume on the pod's node, is kept for the pod, and goes with its volume."""

    async def story(cluster: Cluster) -> None:
        provide_storage(cluster)
        body = claim()
        del body["spec"]["storageClassName"]
        made = cluster.apply(PVC, body)
        assert made["spec"]["storageClassName"] == "standard"
        await cluster.settle()
        assert phase(cluster, PVC, "c") == "Pending"
        assert cluster.events("WaitForFirstConsumer") == [
            "waiting for first consumer to be created before binding"
        ]
        cluster.apply("pods", user())
        await cluster.until(lambda: cluster.get("pods", "p")["status"].get("phase") == "Running")
        name = cluster.get(PVC, "c")["spec"]["volumeName"]
        assert name == f"pvc-{made['metadata']['uid']}"
        found = cluster.registry.get(PV, None, name)
        assert (phase(cluster, PVC, "c"), phase(cluster, PV, name)) == ("Bound", "Bound")
        assert found["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0][
            "values"
        ] == ["node-1"]
        delete(cluster, PVC, "c")
        await cluster.settle()
        assert "deletionTimestamp" in cluster.get(PVC, "c")["metadata"]
        delete(cluster, "pods", "p")
        await cluster.until(lambda: is_gone(cluster, PV, name))
        assert is_gone(cluster, PVC, "c")

    simulate(story)


def test_how_long_it_takes_to_make_a_volume() -> None:
    """In the faithful profile a volume is made in three seconds, and its pod is nominated to its node meanwhile."""

    async def story(cluster: Cluster) -> None:
        provide_storage(cluster)
        cluster.apply(PVC, claim(storageClassName="standard"))
        cluster.apply("pods", user())
        await cluster.until(
            lambda: cluster.get("pods", "p")["status"].get("nominatedNodeName") == "node-1", 1
        )
        assert 2.9 < await cluster.until(lambda: cluster.names(PV, None) != []) < 3.1
        await cluster.until(lambda: cluster.get("pods", "p")["spec"].get("nodeName") == "node-1", 2)
        assert cluster.events("FailedScheduling") == []

    simulate(story, profile=FAITHFUL)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (
            {"accessModes": ["ReadWriteMany"]},
            "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes",
        ),
        ({"selector": {"matchLabels": {"a": "b"}}}, "claim.Spec.Selector is not supported"),
    ],
)
def test_a_claim_that_the_provisioner_refuses(spec: Object, why: str) -> None:
    """An event says why; the claim stays pending, and its pod with it."""

    async def story(cluster: Cluster) -> None:
        provide_storage(cluster)
        cluster.apply(PVC, claim(storageClassName="standard", **spec))
        cluster.apply("pods", user())
        await cluster.settle()
        assert cluster.events("ProvisioningFailed") == [
            f'failed to provision volume with StorageClass "standard": {why}'
        ]
        assert phase(cluster, PVC, "c") == "Pending"
        assert "nodeName" not in cluster.get("pods", "p")["spec"]

    simulate(story)


NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
NO_PLUGIN = "no volume plugin matched name: kubernetes.io/no-provisioner"
NOT_THIS = "Cannot bind to requested volume"


@pytest.mark.parametrize(
    ("of_claim", "reason", "message"),
    [
        ({"storageClassName": ""}, "FailedBinding", NO_CLASS),
        ({}, "ProvisioningFailed", 'storageclass.storage.k8s.io "hand" not found'),
        ({"storageClassName": "none"}, "ProvisioningFailed", NO_PLUGIN),
        ({"volumeName": "small"}, "VolumeMismatch", f'{NOT_THIS} "small": requested PV is too small'),
        ({"volumeName": "other"}, "VolumeMismatch", f'{NOT_THIS} "other": storageClassName does not match'),
        ({"volumeName": "taken"}, "FailedBinding", 'volume "taken" already bound to a different claim.'),
        ({"volumeName": "absent"}, "", ""),
    ],
    ids=["no class", "absent class", "no provisioner", "too small", "another class", "taken", "absent"],
)
def test_why_a_claim_is_not_bound(of_claim: Object, reason: str, message: str) -> None:
    """A claim that gets no volume stays pending, and an event says why."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(SC, {"metadata": {"name": "none"}, "provisioner": "kubernetes.io/no-provisioner"})
        for body in (
            volume("small", size="1Mi"),
            volume("other", storageClassName="else"),
            volume("taken", claimRef={"namespace": "default", "name": "another", "uid": "1"}),
        ):
            cluster.registry.create(PV, None, body)
        cluster.apply(PVC, claim(**of_claim))
        await cluster.settle()
        assert phase(cluster, PVC, "c") == "Pending"
        told = [each for each in cluster.list("events") if each["involvedObject"]["name"] == "c"]
        assert [(each["reason"], each["message"]) for each in told] == ([(reason, message)] if reason else [])

    simulate(story)


def test_a_class_that_comes_later() -> None:
    """A claim without a class is given the default one when there is one."""

    async def story(cluster: Cluster) -> None:
        body = claim()
        del body["spec"]["storageClassName"]
        assert "storageClassName" not in cluster.apply(PVC, body)["spec"]
        await cluster.settle()
        provide_storage(cluster)
        await cluster.until(lambda: cluster.get(PVC, "c")["spec"].get("storageClassName") == "standard")

    simulate(story)


def test_a_volume_that_comes_later() -> None:
    """A pending claim is bound to it, and the pod that waited is scheduled."""

    async def story(cluster: Cluster) -> None:
        cluster.apply(PVC, claim())
        cluster.apply("pods", user())
        await cluster.until(lambda: cluster.events("FailedScheduling") != [])
        text = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
        assert cluster.events("FailedScheduling") == [text]
        cluster.registry.create(PV, None, volume())
        await cluster.until(lambda: "nodeName" in cluster.get("pods", "p")["spec"])
        assert (phase(cluster, PVC, "c"), phase(cluster, PV, "v")) == ("Bound", "Bound")

    simulate(story)


@pytest.mark.parametrize(
    ("policy", "path", "end"),
    [("Retain", "/tmp/v", "Released"), ("Delete", "/tmp/v", ""), ("Delete", "/srv/v", "Failed")],
)
def test_what_becomes_of_a_volume_whose_claim_has_gone(policy: str, path: str, end: str) -> None:
    """It is kept as released, or deleted, or has failed because it can not be deleted."""

    async def story(cluster: Cluster) -> None:
        body = volume(persistentVolumeReclaimPolicy=policy, hostPath={"path": path})
        cluster.registry.create(PV, None, body)
        cluster.apply(PVC, claim())
        await cluster.until(lambda: phase(cluster, PVC, "c") == "Bound")
        delete(cluster, PVC, "c")
        await cluster.settle()
        assert is_gone(cluster, PVC, "c")
        assert is_gone(cluster, PV, "v") if not end else phase(cluster, PV, "v") == end
        if end == "Released":
            cluster.registry.patch(PV, None, "v", {"spec": {"claimRef": None}}, "merge")
            await cluster.until(lambda: phase(cluster, PV, "v") == "Available")

    simulate(story)


def test_a_volume_is_kept_while_it_is_bound() -> None:
    """A bound volume that is deleted stays until its claim has gone; taken away by force, its claim is lost."""

    async def story(cluster: Cluster) -> None:
        for name in ("kept", "lost"):
            cluster.registry.create(PV, None, volume(name, storageClassName=name))
            cluster.apply(PVC, claim(name, storageClassName=name))
        await cluster.settle()
        for name in ("kept", "lost"):
            delete(cluster, PV, name)
        await cluster.settle()
        assert not is_gone(cluster, PV, "kept")
        cluster.registry.patch(PV, None, "lost", {"metadata": {"finalizers": None}}, "merge")
        await cluster.until(lambda: phase(cluster, PVC, "lost") == "Lost")
        assert cluster.events("ClaimLost") == [
            "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        ]
        delete(cluster, PVC, "kept")
        await cluster.until(lambda: is_gone(cluster, PV, "kept"))

    simulate(story)


def test_a_volume_that_the_scheduler_finds() -> None:
    """A claim that waits for its first pod gets the volume that the pod's node reaches, and no other."""

    async def story(cluster: Cluster) -> None:
        provide_storage(cluster)
        of_class = {"metadata": {"name": "hand"}, "provisioner": "kubernetes.io/no-provisioner"}
        cluster.apply(SC, of_class | {"volumeBindingMode": "WaitForFirstConsumer"})
        cluster.registry.create(PV, None, volume("away", size="1Gi", **_reached_by("elsewhere")))
        cluster.apply(PVC, claim())
        cluster.apply("pods", user())
        await cluster.until(lambda: cluster.events("FailedScheduling") != [])
        (text, *_) = cluster.events("FailedScheduling")
        assert text.startswith(
            "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."
        )
        cluster.registry.create(PV, None, volume("here", size="5Gi", **_reached_by("node-1")))
        await cluster.until(lambda: "nodeName" in cluster.get("pods", "p")["spec"])
        assert cluster.get(PVC, "c")["spec"]["volumeName"] == "here"
        assert cluster.get(PVC, "c")["status"]["capacity"] == {"storage": "5Gi"}

    simulate(story)


def _reached_by(node: str) -> Object:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}


def test_one_pod_alone() -> None:
    """A second pod of a ReadWriteOncePod claim waits until the first has gone."""

    async def story(cluster: Cluster) -> None:
        provide_storage(cluster)
        cluster.apply(PVC, claim(storageClassName="standard", accessModes=["ReadWriteOncePod"]))
        cluster.apply("pods", user("first"))
        await cluster.until(lambda: "nodeName" in cluster.get("pods", "first")["spec"])
        cluster.apply("pods", user("second"))
        await cluster.until(lambda: cluster.events("FailedScheduling") != [])
        assert "ReadWriteOncePod access mode already in-use" in cluster.events("FailedScheduling")[0]
        delete(cluster, "pods", "first")
        await cluster.until(lambda: "nodeName" in cluster.get("pods", "second")["spec"])

    simulate(story)


def test_a_claim_that_a_pod_brings_along() -> None:
    """It is made from the pod's template, is the pod's own, and goes with it; one that is there is not taken."""

    async def story(cluster: Cluster) -> None:
        provide_storage(cluster)
        asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        wanted = {"metadata": {"labels": {"a": "b"}}, "spec": asked}
        volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": wanted}}]
        cluster.apply("pods", user(volumes=volumes))
        await cluster.until(lambda: cluster.get("pods", "p")["status"].get("phase") == "Running")
        made = cluster.get(PVC, "p-v")
        assert made["metadata"]["labels"] == {"a": "b"}
        assert made["metadata"]["ownerReferences"][0]["uid"] == cluster.get("pods", "p")["metadata"]["uid"]
        delete(cluster, "pods", "p")
        await cluster.until(lambda: is_gone(cluster, PVC, "p-v") and cluster.names(PV, None) == [])
        cluster.apply(PVC, claim("q-v", storageClassName="standard"))
        cluster.apply("pods", user("q", volumes=volumes))
        await cluster.until(lambda: cluster.events("FailedScheduling") != [])
        text = "PVC default/q-v was not created for pod default/q (pod is not owner)"
        assert cluster.events("FailedScheduling") == [f"0/1 nodes are available: {text}. not found"]

    simulate(story)


def test_a_bound_claim_does_not_grow() -> None:
    """Its class has to allow that; nor does it shrink below what it has."""

    async def story(cluster: Cluster) -> None:
        cluster.registry.create(PV, None, volume(size="1Gi"))
        cluster.apply(PVC, claim())
        await cluster.until(lambda: phase(cluster, PVC, "c") == "Bound")
        for size, text in (
            ("2Gi", "only dynamically provisioned pvc can be resized"),
            ("1Mi", "field can not be less than status.capacity"),
        ):
            with pytest.raises(Exception, match=text):
                cluster.edit(PVC, "c", {"spec": {"resources": {"requests": {"storage": size}}}})
        cluster.apply(
            SC, {"metadata": {"name": "hand"}, "provisioner": "example.com/x", "allowVolumeExpansion": True}
        )
        cluster.edit(PVC, "c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})

    simulate(story)


def test_a_namespace_goes_with_its_claims() -> None:
    """Nothing protects a claim that no pod uses."""

    async def story(cluster: Cluster) -> None:
        cluster.namespace("other")
        cluster.apply(PVC, claim(), "other")
        cluster.registry.delete("namespaces", None, "other")
        await cluster.until(lambda: "other" not in cluster.names("namespaces", None))

    simulate(story)
