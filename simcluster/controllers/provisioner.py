"""The provisioner of the default class: makes a folder on the node that a claim's pod goes to, and a volume of it.

The rule it keeps: it is what kind runs, local-path-provisioner, as far as clients see it: names, annotations, events,
refusals. A volume is made once for each claim, by the claim's uid, and goes with its data when its claim has gone.

Sources: github.com/rancher/local-path-provisioner provisioner.go; sigs.k8s.io/sig-storage-lib-external-provisioner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simcluster.controllers import binding
from simcluster.controllers.binding import CLAIMS, VOLUMES, phase_of
from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import Name, annotations_of, is_deleting, name_of, uid_of
from simcluster.errors import AlreadyExists
from simcluster.node_files import NodeFiles
from simcluster.registry.volumes import CLASSES, class_of
from simcluster.store import Object

PROVISIONER = "rancher.io/local-path"
_FOLDER = "/var/local-path-provisioner"
_NODE = "local.path.provisioner/selected-node"
_HOSTNAME = "kubernetes.io/hostname"


class Provisioner:
    """`later` has a claim or volume looked at after some seconds."""

    def __init__(
        self, context: Context, files: NodeFiles | None, later: Callable[[Name, float], None]
    ) -> None:
        self._context = context
        self._registry = context.registry.acting_as("local-path-provisioner")
        self._files = files
        self._later = later
        self._claims = context.informers.of(CLAIMS)
        self._volumes = context.informers.of(VOLUMES)
        self._classes = context.informers.of(CLASSES)
        self._nodes = context.informers.of("nodes")
        self._recorder = context.recorder(f"{PROVISIONER}_local-path-provisioner")
        # Of a claim or volume under way: when it is done.
        self._due: dict[str, float] = {}
        self._refused: set[str] = set()

    def sync(self, key: Name) -> None:
        """Make a claim's volume, or delete one that was made here."""
        if key[0]:
            claim = self._claims.get(key)
            if claim is not None and self._is_asked(claim):
                self._provision(claim)
            return
        volume = self._volumes.get(key)
        if volume is not None and _is_left(volume) and self._is_due(volume):
            self._delete(volume)

    def _is_asked(self, claim: Object) -> bool:
        annotations = annotations_of(claim)
        of_class = self._classes.get(("", class_of(claim)))
        return (
            not binding.volume_of(claim)
            and of_class is not None
            and of_class["provisioner"] == PROVISIONER
            and all(annotations.get(each) == PROVISIONER for each in binding.PROVISIONERS)
            and (not binding.waits(of_class) or binding.SELECTED_NODE in annotations)
            and self._volumes.get(("", _volume_name(claim))) is None
            and uid_of(claim) not in self._refused
        )

    def _is_due(self, obj: Object) -> bool:
        """Whether the time that it takes is over; it begins with the first question."""
        now, takes_s = self._context.clock(), self._context.profile.provision_s
        due = self._due.setdefault(uid_of(obj), now + takes_s)
        if now < due:
            self._later(name_of(obj), due - now)
            return False
        del self._due[uid_of(obj)]
        return True

    def _provision(self, claim: Object) -> None:
        if uid_of(claim) not in self._due:
            text = f'External provisioner is provisioning volume for claim "{"/".join(name_of(claim))}"'
            self._recorder.record(claim, "Normal", "Provisioning", text)
        node = self._nodes.get(("", annotations_of(claim).get(binding.SELECTED_NODE, "")))
        fault = complain(claim, node)
        if fault is not None or node is None:
            self._refused.add(uid_of(claim))
            text = f'failed to provision volume with StorageClass "{class_of(claim)}": {fault}'
            self._recorder.record(claim, "Warning", "ProvisioningFailed", text)
            return
        if not self._is_due(claim):
            return
        of_class = self._classes.get(("", class_of(claim))) or {}
        volume = make_volume(claim, node, of_class)
        if self._files is not None:
            self._files.make(name_of(node)[1], volume["spec"]["hostPath"]["path"])
        try:
            self._registry.create(VOLUMES, None, volume)
        except AlreadyExists:
            return
        text = f"Successfully provisioned volume {name_of(volume)[1]}"
        self._recorder.record(claim, "Normal", "ProvisioningSucceeded", text)

    def _delete(self, volume: Object) -> None:
        node = annotations_of(volume).get(_NODE)
        if self._files is not None and node is not None:
            self._files.remove(node, volume["spec"]["hostPath"]["path"])
        self._registry.delete(VOLUMES, None, name_of(volume)[1], uid=uid_of(volume))


def _is_left(volume: Object) -> bool:
    return (
        annotations_of(volume).get(binding.PROVISIONED_BY) == PROVISIONER
        and phase_of(volume) == "Released"
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        and not is_deleting(volume)
    )


def _volume_name(claim: Object) -> str:
    return f"pvc-{uid_of(claim)}"


def complain(claim: Object, node: Object | None) -> str | None:
    """Why there is no volume of this kind for a claim."""
    if claim["spec"].get("selector"):
        return "claim.Spec.Selector is not supported"
    if set(claim["spec"]["accessModes"]) - {"ReadWriteOnce", "ReadWriteOncePod"}:
        return "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes"
    return "configuration error, no node was specified" if node is None else None


def make_volume(claim: Object, node: Object, of_class: Object) -> dict[str, Any]:
    """The volume of a claim on a node."""
    name, (namespace, claimed) = _volume_name(claim), name_of(claim)
    host = node["metadata"].get("labels", {}).get(_HOSTNAME, name_of(node)[1])
    expression = {"key": _HOSTNAME, "operator": "In", "values": [host]}
    annotations = {_NODE: name_of(node)[1], binding.PROVISIONED_BY: PROVISIONER}
    spec = {
        "accessModes": list(claim["spec"]["accessModes"]),
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "claimRef": binding.refer_to(claim),
        "hostPath": {"path": f"{_FOLDER}/{name}_{namespace}_{claimed}", "type": "DirectoryOrCreate"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        "persistentVolumeReclaimPolicy": of_class.get("reclaimPolicy", "Delete"),
        "storageClassName": class_of(claim),
        "volumeMode": "Filesystem",
    }
    if of_class.get("mountOptions"):
        spec["mountOptions"] = of_class["mountOptions"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }
