"""Where the data of a volume is that outlives its pod: a path of the node, its own or that of a claim's volume.

The rules it keeps (pkg/volume/{hostpath,local}, pkg/kubelet/volumemanager): a claim has to be bound, its volume to be
within this node's reach; a hostPath is checked or made as its type says, on the node's own files (`node_files`), never
on this machine's. What is missing is a `VolumeProblem` in the kubelet's words.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcluster.controllers.pods import claim_in
from simcluster.controllers.scheduling.volumes import is_owned, read_affinity, refuse_stranger
from simcluster.kubelet.volumes import VolumeProblem
from simcluster.node_files import NodeFiles, OutsideError

Object = dict[str, Any]
# (resource, namespace or None, name) → the object; None if there is none.
Lookup = Callable[[str, str | None, str], Object | None]
# What a hostPath of each type has to be, and what it is called.
_CHECKS: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "FileOrCreate": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket file"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


@dataclass(frozen=True, slots=True)
class Disk:
    """Data of a node, to be mounted."""

    path: Path
    is_read_only: bool = False


def find_disk(pod: Object, volume: Object, node: Object | None, files: NodeFiles, lookup: Lookup) -> Disk:
    """The data of a hostPath or a claim; VolumeProblem if it can not be had. `node` None fulfils no affinity."""
    if "hostPath" in volume:
        return Disk(_open_host_path(pod, volume["name"], volume["hostPath"], files))
    bound = _find_volume(pod, volume, lookup)
    title = bound["metadata"]["name"]
    _check_reach(bound, title, node)
    spec = bound["spec"]
    if "hostPath" in spec:
        path = _open_host_path(pod, title, spec["hostPath"], files)
    elif "local" in spec:
        path = _open_local(pod, title, spec["local"]["path"], files)
    else:
        kind = next((key for key in spec if isinstance(spec[key], dict) and key not in _NO_SOURCE), "none")
        text = f"{kind}: this cluster has no such storage; known sources of volumes: hostPath, local"
        raise VolumeProblem(f'MountVolume.SetUp failed for volume "{title}" : {text}')
    only_reads = bool((volume.get("persistentVolumeClaim") or {}).get("readOnly")) or spec.get(
        "accessModes"
    ) == ["ReadOnlyMany"]
    return Disk(path, only_reads)


_NO_SOURCE = ("capacity", "claimRef", "nodeAffinity")


def _find_volume(pod: Object, volume: Object, lookup: Lookup) -> Object:
    namespace, name = pod["metadata"]["namespace"], volume["name"]
    found = claim_in(pod, volume)
    assert found is not None  # noqa: S101 -- for mypy: nothing else is kept
    claim_name, is_own = found

    def fail(why: str) -> VolumeProblem:
        where = f"unmounted volumes=[{name}], unattached volumes=[], failed to process volumes=[{name}]"
        text = f"error processing PVC {namespace}/{claim_name}: {why}"
        return VolumeProblem(f"Unable to attach or mount volumes: {where}: {text}")

    claim = lookup("persistentvolumeclaims", namespace, claim_name)
    if claim is None:
        missing = f'persistentvolumeclaims "{claim_name}" not found'
        raise fail(f"failed to fetch PVC from API server: {missing}")
    if is_own and not is_owned(claim, pod):
        raise fail(refuse_stranger(claim, pod))
    if claim["metadata"].get("deletionTimestamp") is not None:
        raise fail("PVC is being deleted")
    title = claim["spec"].get("volumeName", "")
    if (claim.get("status") or {}).get("phase") != "Bound" or not title:
        raise fail("PVC is not bound")
    bound = lookup("persistentvolumes", None, title)
    if bound is None:
        raise fail(f'failed to fetch PV {title} from API server: persistentvolumes "{title}" not found')
    if (bound["spec"].get("claimRef") or {}).get("uid") != claim["metadata"]["uid"]:
        raise fail(f"PV {title} is bound to another PVC")
    if claim["spec"].get("volumeMode") == "Block":
        raise fail("volumeMode Block: this cluster has no block devices")
    return bound


def _check_reach(volume: Object, title: str, node: Object | None) -> None:
    terms = read_affinity(volume)
    if terms is None:
        return
    metadata: Object = {"name": ""} if node is None else node["metadata"]
    if not any(term.matches(metadata["name"], metadata.get("labels") or {}) for term in terms):
        text = "no matching NodeSelectorTerms"
        raise VolumeProblem(f'MountVolume.NodeAffinity check failed for volume "{title}" : {text}')


def _open_local(pod: Object, title: str, path: str, files: NodeFiles) -> Path:
    begun = f'MountVolume.NewMounter initialization failed for volume "{title}" : '
    found = _locate(pod, path, files, begun)
    if not found.exists():
        raise VolumeProblem(f'{begun}path "{path}" does not exist')
    return found


def _open_host_path(pod: Object, title: str, source: Object, files: NodeFiles) -> Path:
    """Check or make a path of the node; one without a type is made a directory by the container runtime."""
    begun = f'MountVolume.SetUp failed for volume "{title}" : '
    path, kind = source["path"], source.get("type") or ""
    found = _locate(pod, path, files, begun)
    try:
        if kind in ("", "DirectoryOrCreate") and not found.exists():
            found.mkdir(parents=True)
        elif kind == "FileOrCreate" and not found.exists():
            found.touch()
    except FileNotFoundError:
        raise VolumeProblem(f"{begun}open {path}: no such file or directory") from None
    except OSError as error:
        raise VolumeProblem(f"{begun}{path}: {error.strerror}") from error
    if kind:
        fits, called = _CHECKS[kind]
        if not found.exists() or not fits(found.stat().st_mode):
            raise VolumeProblem(f"{begun}hostPath type check failed: {path} is not a {called}")
    return found


def _locate(pod: Object, path: str, files: NodeFiles, begun: str) -> Path:
    try:
        return files.locate(pod["spec"]["nodeName"], path)
    except OutsideError as error:
        raise VolumeProblem(f"{begun}{error}") from error
