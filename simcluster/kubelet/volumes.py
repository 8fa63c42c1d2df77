"""What is in the volumes of a pod: files made of ConfigMaps, Secrets, the pod's own fields and tokens. Pure.

The rules it keeps (pkg/volume/{configmap,secret,downwardapi,projected}): `items` choose and rename keys, each
file has its mode or the volume's; what is missing and not optional is a `VolumeProblem` in the kubelet's
words, which a later try may not meet any more; a kind of volume that a cluster without disks does not have is
one that it always meets. Sources of a projected volume are laid over each other in their order.

It writes nothing: see `pod_volumes`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from simcluster.kubelet.environment import ConfigProblem, Surroundings, read_field, read_resource

Object = dict[str, Any]
_MODE = 0o644
_TOKEN_S = 3600
_METADATA = {"metadata.labels": "labels", "metadata.annotations": "annotations"}
# (source of a serviceAccountToken, seconds) → a token for its audience.
MintToken = Callable[[str | None, int], str]


class VolumeProblem(Exception):  # noqa: N818 -- Kubernetes calls it FailedMount
    """A volume can not be set up."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume."""

    data: bytes
    mode: int


Files = Mapping[str, File]


# Volumes whose content outlives the pod.
_KEPT = ("hostPath", "persistentVolumeClaim", "ephemeral")


def is_kept(volume: Object) -> bool:
    """Whether the volume's content was there before the pod, and stays: see `disks`."""
    return any(key in volume for key in _KEPT)


def has_files(volume: Object) -> bool:
    """Whether the volume's content is made here; an emptyDir's is not."""
    return "emptyDir" not in volume and not is_kept(volume)


def read_volume(pod: Object, volume: Object, around: Surroundings, mint: MintToken) -> Files:
    """The files of a volume by their paths; VolumeProblem if they can not be had."""
    for kind, read in (("configMap", _read_config_map), ("secret", _read_secret)):
        if kind in volume:
            return dict(_checked(read(volume[kind], volume[kind].get("defaultMode", _MODE), around)))
    if "downwardAPI" in volume:
        source = volume["downwardAPI"]
        return dict(_checked(_read_downward(pod, source, source.get("defaultMode", _MODE), around)))
    if "projected" in volume:
        return dict(_checked(_read_projected(pod, volume["projected"], around, mint)))
    raise VolumeProblem(_refuse(volume))


def token_seconds(volume: Object) -> int | None:
    """How long the shortest token of a volume lasts; None if it has none."""
    sources = (volume.get("projected") or {}).get("sources") or ()
    found = [
        each["serviceAccountToken"].get("expirationSeconds", _TOKEN_S)
        for each in sources
        if "serviceAccountToken" in each
    ]
    return min(found, default=None)


def _refuse(volume: Object) -> str:
    kind = next((key for key in volume if key != "name"), "emptyDir")
    return (
        f"{kind}: this cluster has no such storage; known volumes: configMap, secret, downwardAPI, projected, "
        "emptyDir, hostPath, persistentVolumeClaim, ephemeral"
    )


def _checked(files: Iterator[tuple[str, File]]) -> Iterator[tuple[str, File]]:
    """Only paths that stay within the volume."""
    for path, file in files:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
            raise VolumeProblem(f'"{path}" is no path within a volume')
        yield path, file


def _read_config_map(source: Object, mode: int, around: Surroundings) -> Iterator[tuple[str, File]]:
    found = around.lookup("configmaps", source["name"])
    if found is None:
        if source.get("optional"):
            return
        raise VolumeProblem(f'configmap "{source["name"]}" not found')
    data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    yield from _choose(data, source, mode, "configmap references non-existent config key: {}")


def _read_secret(source: Object, mode: int, around: Surroundings) -> Iterator[tuple[str, File]]:
    # A Secret of its own is named by `secretName`, as one of several sources by `name`.
    name = source["secretName"] if "secretName" in source else source["name"]
    found = around.lookup("secrets", name)
    if found is None:
        if source.get("optional"):
            return
        raise VolumeProblem(f'secret "{name}" not found')
    data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    yield from _choose(data, source, mode, "references non-existent secret key: {}")


def _choose(
    data: Mapping[str, bytes], source: Object, mode: int, complaint: str
) -> Iterator[tuple[str, File]]:
    items = source.get("items")
    if not items:
        yield from ((key, File(value, mode)) for key, value in data.items())
        return
    for item in items:
        if item["key"] in data:
            yield item["path"], File(data[item["key"]], _mode_of(item, mode))
        elif not source.get("optional"):
            raise VolumeProblem(complaint.format(item["key"]))


def _mode_of(item: Object, mode: int) -> int:
    own = item.get("mode")
    return mode if own is None else int(own)


def _read_downward(
    pod: Object, source: Object, mode: int, around: Surroundings
) -> Iterator[tuple[str, File]]:
    for item in source.get("items") or ():
        yield item["path"], File(_read_item(pod, item, around).encode(), _mode_of(item, mode))


def _read_item(pod: Object, item: Object, around: Surroundings) -> str:
    try:
        if "fieldRef" not in item:
            reference = item["resourceFieldRef"]
            return read_resource(pod, {}, reference, around)
        path = item["fieldRef"]["fieldPath"]
        if path in _METADATA:
            return _show_map(pod["metadata"].get(_METADATA[path]) or {})
        return read_field(pod, path, around)
    except ConfigProblem as problem:
        raise VolumeProblem(str(problem)) from problem


def _show_map(values: Mapping[str, str]) -> str:
    """A line for each, with the value as Go quotes it."""
    return "\n".join(f'{key}="{_escape(values[key])}"' for key in sorted(values))


def _escape(value: str) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _read_projected(
    pod: Object, projected: Object, around: Surroundings, mint: MintToken
) -> Iterator[tuple[str, File]]:
    mode = projected.get("defaultMode", _MODE)
    for source in projected.get("sources") or ():
        if "configMap" in source:
            yield from _read_config_map(source["configMap"], mode, around)
        elif "secret" in source:
            yield from _read_secret(source["secret"], mode, around)
        elif "downwardAPI" in source:
            yield from _read_downward(pod, source["downwardAPI"], mode, around)
        elif "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            text = mint(token.get("audience"), token.get("expirationSeconds", _TOKEN_S))
            yield token["path"], File(text.encode(), mode)
        else:
            raise VolumeProblem(f"projected source {', '.join(source)}: this cluster has no such source")
