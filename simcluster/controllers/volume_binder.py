"""The persistent volume controller: ties claims to volumes, and gives back what nobody claims any more.

The rule it keeps: which volume a claim gets, and what is written, is decided in `binding`; each write stands for
itself, so that one that is interrupted is finished by the next sync. Volumes are made by provisioners; it only asks
for them. Of reclaim policies it carries out Retain, and Delete where no provisioner made the volume.

Source: kubernetes pkg/controller/volume/persistentvolume/pv_controller.go.
"""

from __future__ import annotations

from collections.abc import Callable

from simcluster.controllers import binding
from simcluster.controllers.binding import CLAIMS, VOLUMES, phase_of, volume_of
from simcluster.controllers.claim_users import ClaimUsers
from simcluster.controllers.loop import Context
from simcluster.controllers.metadata import Name, annotations_of, is_deleting, name_of, uid_of, with_status
from simcluster.controllers.pods import condition_of, node_of
from simcluster.registry import format_time
from simcluster.registry.volumes import CLASSES, class_of, find_default_class, has_class
from simcluster.store import Object

_NOTHING = "no persistent volumes available for this claim and no storage class is set"
_FIRST = "waiting for first consumer to be created before binding"
_LOST = "Bound claim has lost {}. Data on the volume is lost!"
_TWICE = "Two claims are bound to the same volume, this one is bound incorrectly"
_EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)


class VolumeBinder:
    """`enqueue` has a claim or a volume looked at."""

    def __init__(self, context: Context, users: ClaimUsers, enqueue: Callable[[Name], None]) -> None:
        self._context = context
        self._registry = context.registry
        self._users = users
        self._enqueue = enqueue
        self._claims = context.informers.of(CLAIMS)
        self._volumes = context.informers.of(VOLUMES)
        self._classes = context.informers.of(CLASSES)
        self._recorder = context.recorder("persistentvolume-controller")

    def sync(self, key: Name) -> None:
        """Take one claim or volume one step further."""
        if key[0]:
            claim = self._claims.get(key)
            if claim is None:
                return
            if binding.COMPLETED in annotations_of(claim):
                self._keep(claim)
            elif volume_of(claim):
                self._bind_asked(claim)
            else:
                self._bind_any(claim)
            return
        volume = self._volumes.get(key)
        if volume is not None:
            self._settle(volume)

    # --- Claims

    def _keep(self, claim: Object) -> None:
        """A claim that is tied: see that its volume is there, and knows of it."""
        volume = self._volumes.get(("", volume_of(claim))) if volume_of(claim) else None
        if volume is None:
            what = "its PersistentVolume" if volume_of(claim) else "reference to PersistentVolume"
            self._lose(claim, "ClaimLost", _LOST.format(what))
        elif (volume["spec"].get("claimRef") or {}).get("uid", uid_of(claim)) != uid_of(claim):
            self._lose(claim, "ClaimMisbound", _TWICE)
        else:
            self._bind(claim, volume)

    def _bind_asked(self, claim: Object) -> None:
        """A claim that names its volume."""
        volume = self._volumes.get(("", volume_of(claim)))
        if volume is None:
            self._show(claim, "Pending")
            return
        if volume["spec"].get("claimRef") is None:
            fault = binding.complain(volume, claim)
            if fault is not None:
                text = f'Cannot bind to requested volume "{volume_of(claim)}": {fault}'
                self._recorder.record(claim, "Warning", "VolumeMismatch", text)
                self._show(claim, "Pending")
                return
        elif not binding.names(volume, claim):
            text = f'volume "{volume_of(claim)}" already bound to a different claim.'
            self._recorder.record(claim, "Warning", "FailedBinding", text)
            self._show(claim, "Pending")
            return
        self._bind(claim, volume)

    def _bind_any(self, claim: Object) -> None:
        """A claim that takes any volume that fits."""
        of_class = self._classes.get(("", class_of(claim)))
        waits = binding.waits(of_class)
        volume = binding.find_volume(claim, self._volumes.list(), waits=waits)
        if volume is not None:
            self._bind(claim, volume)
            return
        if not has_class(claim) and self._give_class(claim):
            return
        if waits and binding.SELECTED_NODE not in annotations_of(claim):
            self._recorder.record(claim, "Normal", *self._explain_wait(claim))
        elif class_of(claim):
            claim = self._ask(claim, of_class)
        else:
            self._recorder.record(claim, "Normal", "FailedBinding", _NOTHING)
        self._show(claim, "Pending")

    def _explain_wait(self, claim: Object) -> tuple[str, str]:
        # One that the scheduler has not looked at yet does not wait.
        users = (pod for pod in self._users.of(name_of(claim)) if not node_of(pod))
        waiting = [name_of(pod)[1] for pod in users if condition_of(pod, "PodScheduled") is not None]
        if not waiting:
            return "WaitForFirstConsumer", _FIRST
        who = f"pods {','.join(waiting)}" if len(waiting) > 1 else f"pod {waiting[0]}"
        return "WaitForPodScheduled", f"waiting for {who} to be scheduled"

    def _give_class(self, claim: Object) -> bool:
        default = find_default_class(list(self._classes.list()))
        if default is None or is_deleting(claim):
            return False
        spec = claim["spec"] | {"storageClassName": name_of(default)[1]}
        self._write(CLAIMS, {**claim, "spec": spec, "metadata": dict(claim["metadata"])})
        return True

    def _ask(self, claim: Object, of_class: Object | None) -> Object:
        """Ask the class's provisioner for a volume."""
        provisioner = "" if of_class is None else of_class["provisioner"]
        if of_class is None or provisioner.startswith("kubernetes.io/"):
            text = (
                f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
                if of_class is None
                else f"no volume plugin matched name: {provisioner}"
            )
            self._recorder.record(claim, "Warning", "ProvisioningFailed", text)
            return claim
        wanted = dict.fromkeys(binding.PROVISIONERS, provisioner)
        if not wanted.items() <= annotations_of(claim).items():
            claim = self._write(CLAIMS, binding.annotate(claim, wanted))
        self._recorder.record(claim, "Normal", "ExternalProvisioning", _EXTERNAL.format(provisioner))
        return claim

    def _bind(self, claim: Object, volume: Object) -> None:
        tied = binding.tie_volume(volume, claim)
        volume = volume if tied is None else self._write(VOLUMES, tied)
        self._show_volume(volume, "Bound")
        changed = binding.tie_claim(claim, volume)
        claim = claim if changed is None else self._write(CLAIMS, changed)
        status = binding.got(volume)
        if any((claim.get("status") or {}).get(key) != value for key, value in status.items()):
            self._write(CLAIMS, with_status(claim, (claim.get("status") or {}) | status), "status")

    def _lose(self, claim: Object, reason: str, text: str) -> None:
        if phase_of(claim) != "Lost":
            self._show(claim, "Lost")
            self._recorder.record(claim, "Warning", reason, text)

    def _show(self, claim: Object, phase: str) -> None:
        if phase_of(claim) != phase:
            self._write(CLAIMS, with_status(claim, {"phase": phase}), "status")

    # --- Volumes

    def _settle(self, volume: Object) -> None:
        reference = volume["spec"].get("claimRef")
        if reference is None or not reference.get("uid"):
            self._show_volume(volume, "Available")
            return
        claim = self._claims.get((reference.get("namespace", ""), reference["name"]))
        end = binding.unfinished(volume, claim)
        if end == "wait":
            self._enqueue((reference["namespace"], reference["name"]))
        elif end == "untie":
            self._show_volume(self._write(VOLUMES, binding.untie_volume(volume)), "Available")
        elif end == "Bound":
            self._show_volume(volume, "Bound")
        else:
            if phase_of(volume) not in ("Released", "Failed"):
                volume = self._show_volume(volume, "Released")
            self._reclaim(volume)

    def _reclaim(self, volume: Object) -> None:
        """Delete a volume that its class says is to go, unless that is its provisioner's part."""
        is_ours = binding.PROVISIONED_BY not in annotations_of(volume)
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete" or not is_ours:
            return
        path = volume["spec"].get("hostPath", {}).get("path")
        fault = None
        if path is None:
            fault = (
                f'error getting deleter volume plugin for volume "{name_of(volume)[1]}": '
                "no deletable volume plugin matched"
            )
        elif not (path.startswith("/tmp/") and len(path) > len("/tmp/")):  # noqa: S108 - the rule's own words
            fault = f"host_path deleter only supports /tmp/.+ but received provided {path}"
        if fault is None:
            self._registry.delete(VOLUMES, None, name_of(volume)[1], uid=uid_of(volume))
        elif phase_of(volume) != "Failed":
            self._show_volume(volume, "Failed", fault)
            self._recorder.record(volume, "Warning", "VolumeFailedDelete", fault)

    def _show_volume(self, volume: Object, phase: str, message: str | None = None) -> Object:
        if phase_of(volume) == phase:
            return volume
        status = {"phase": phase, "lastPhaseTransitionTime": format_time(self._context.clock())}
        status |= {} if message is None else {"message": message}
        return self._write(VOLUMES, with_status(volume, status), "status")

    def _write(self, resource: str, obj: Object, subresource: str | None = None) -> Object:
        namespace, name = name_of(obj)
        return self._registry.update(resource, namespace or None, name, obj, subresource=subresource)
