"""What writers are told of the volumes of a pod: paths in one volume that lie over each other. Pure.

Source: kubernetes pkg/api/pod/warnings.go (warningsForOverlappingVirtualPaths).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
# A path, and where it comes from; empty where the volume has one source.
_Path = tuple[str, str]
_NAMES = {"configMap": "name", "secret": "secretName"}
_OF_CERTIFICATES = (
    ("certificateChainPath", "PodCertificate chain"),
    ("keyPath", "PodCertificate key"),
    ("credentialBundlePath", "PodCertificate credential bundle"),
)


def find_warnings(volumes: list[Object]) -> list[str]:
    """Return what is odd about the paths of volumes."""
    return [text for volume in volumes for text in _find_of_volume(volume)]


def _find_of_volume(volume: Object) -> Iterator[str]:
    name = volume.get("name", "")
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            shown = _show(kind, volume[kind], _NAMES.get(kind))
            for text in _find_overlaps([_read_items(volume[kind], "")]):
                yield f'volume "{name}" ({shown}): overlapping paths: {text}'
    sources = volume.get("projected", {}).get("sources") or ()
    for _ in (each for each in sources if not each):
        yield f'volume "{name}" (Projected) has no sources provided'
    for text in _find_overlaps([_read_source(each) for each in sources]):
        yield f'volume "{name}" (Projected): overlapping paths: {text}'


def _show(kind: str, source: Object, key: str | None) -> str:
    shown = kind[0].upper() + kind[1:]
    return shown if key is None else f'{shown} "{source.get(key, "")}"'


def _read_items(source: Object, shown: str) -> list[_Path]:
    return [(each.get("path", ""), shown) for each in source.get("items") or ()]


def _read_source(source: Object) -> list[_Path]:
    """Return the paths of one source of a projected volume."""
    for kind in ("configMap", "secret"):
        if source.get(kind, {}).get("items"):
            return _read_items(source[kind], _show(kind, source[kind], "name"))
    if source.get("downwardAPI", {}).get("items"):
        return _read_items(source["downwardAPI"], "DownwardAPI")
    if "serviceAccountToken" in source:
        return [(source["serviceAccountToken"].get("path", ""), "ServiceAccountToken")]
    if "clusterTrustBundle" in source:
        bundle = source["clusterTrustBundle"]
        shown = bundle.get("name", bundle.get("signerName", ""))
        return [(bundle.get("path", ""), f'ClusterTrustBundle "{shown}"')]
    certificate = source.get("podCertificate", {})
    return [(certificate[key], shown) for key, shown in _OF_CERTIFICATES if certificate.get(key)]


def _find_overlaps(groups: list[list[_Path]]) -> Iterator[str]:
    """Yield each path with each before it that is the same, or lies above or below it."""
    seen: list[_Path] = []
    for given, source in (each for group in groups for each in group):
        path = given.rstrip("/")
        for other, of_other in seen:
            below, above = f"{path}/", f"{other}/"
            if path and other and (above.startswith(below) or below.startswith(above)):
                yield f"{_show_path(path, source)} with {_show_path(other, of_other)}"
        seen.append((path, source))


def _show_path(path: str, source: str) -> str:
    return f'"{path}" ({source})' if source else f'"{path}"'
