"""The volumes of one pod on its node: set up before its containers, kept up to date, mounted in each.

The rules it keeps: a volume whose source changes shows the change to running containers, but for mounts of a
`subPath`, which stay what they were; a token is renewed when four fifths of its time are over; content that
can not be had any more stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcluster.controllers.workqueue import Timer
from simcluster.errors import NotFound
from simcluster.kubelet import access, launch
from simcluster.kubelet.environment import ConfigProblem
from simcluster.kubelet.expansion import expand
from simcluster.kubelet.rooms import Mount
from simcluster.kubelet.volume_files import write_files
from simcluster.kubelet.volumes import VolumeProblem, has_files, is_kept, read_volume, token_seconds

if TYPE_CHECKING:
    from simcluster.kubelet.disks import Disk
    from simcluster.kubelet.worker import PodWorker

Object = dict[str, Any]
_EMPTY_MODE = 0o777


class PodVolumes:
    """What is mounted in a pod's containers."""

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self._root = worker.files.volumes
        self._disks: dict[str, Disk] = {}
        self._timers: dict[str, Timer] = {}
        self._is_due = False

    @property
    def _volumes(self) -> list[Object]:
        volumes: list[Object] = self._worker.pod["spec"].get("volumes") or []
        return volumes

    def set_up(self) -> None:
        """Make all volumes; VolumeProblem, with the volume's name, if one can not be had."""
        for volume in self._volumes:
            if is_kept(volume):
                self._disks[volume["name"]] = self._find_disk(volume)
                continue
            directory = self._root / volume["name"]
            if not directory.exists():
                directory.mkdir(parents=True)
                directory.chmod(0o755 if has_files(volume) else _EMPTY_MODE)
            if has_files(volume):
                try:
                    self._write(volume)
                except VolumeProblem as problem:
                    raise VolumeProblem(
                        f'MountVolume.SetUp failed for volume "{volume["name"]}" : {problem}'
                    ) from problem

    def _find_disk(self, volume: Object) -> Disk:
        # Most pods have none.
        from simcluster.kubelet.disks import find_disk

        host = self._worker.host

        def lookup(resource: str, namespace: str | None, name: str) -> Object | None:
            try:
                return host.registry.get(resource, namespace, name)
            except NotFound:
                return None

        node = lookup("nodes", None, host.node)
        return find_disk(self._worker.pod, volume, node, host.files, lookup)

    def refresh_soon(self) -> None:
        """Something that a volume may be made of has changed."""
        host = self._worker.host
        if self._is_due or not any(has_files(each) for each in self._volumes):
            return
        self._is_due = True
        host.call_later(host.rng.uniform(0, host.profile.volume_sync_s), self._refresh)

    def _refresh(self) -> None:
        self._is_due = False
        for volume in self._volumes:
            # A token is renewed by its own clock.
            if has_files(volume) and token_seconds(volume) is None:
                self._renew(volume)

    def _renew(self, volume: Object) -> None:
        if not (self._root / volume["name"]).exists():
            return  # not set up yet, or gone with the pod
        try:
            self._write(volume)
        except VolumeProblem as problem:
            text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {problem}'
            self._worker.host.recorder.record(self._worker.pod, "Warning", "FailedMount", text)

    def _write(self, volume: Object) -> None:
        worker, host = self._worker, self._worker.host
        files = read_volume(worker.pod, volume, launch.surround(worker), self._mint)
        write_files(self._root / volume["name"], files, host.clock())
        seconds = token_seconds(volume)
        if seconds is not None:
            self.call_later(volume["name"], seconds * access.RENEWED_AT, lambda: self._renew(volume))

    def _mint(self, audience: str | None, seconds: int) -> str:
        try:
            return access.mint_token(self._worker, seconds, audience)
        except ConfigProblem as problem:
            raise VolumeProblem(str(problem)) from problem

    def call_later(self, volume: str, delay_s: float, renew: Callable[[], None]) -> None:
        """Renew a volume then, unless the pod is gone by then."""
        self._timers[volume] = self._worker.host.call_later(delay_s, renew)

    def close(self) -> None:
        """Renew nothing any more."""
        for timer in self._timers.values():
            timer.cancel()

    def mounts(self, spec: Object, environment: Mapping[str, str], *, has_access: bool) -> tuple[Mount, ...]:
        """What one container sees; ConfigProblem for a mount that can not be."""
        volumes = {each["name"]: each for each in self._volumes}
        mounts = [self._mount(volumes, each, environment) for each in _mounts_of(spec)]
        if has_access and access.MOUNT not in {each.target for each in mounts}:
            mounts.append(Mount(str(self._root / access.VOLUME), access.MOUNT, is_read_only=True))
        # A mount within another comes after it.
        return tuple(sorted(mounts, key=lambda each: each.target.count("/")))

    def _mount(self, volumes: dict[str, Object], mount: Object, environment: Mapping[str, str]) -> Mount:
        volume, disk = volumes[mount["name"]], self._disks.get(mount["name"])
        path = self._root / mount["name"] if disk is None else disk.path
        sub_path = mount.get("subPath") or expand(mount.get("subPathExpr", ""), environment)
        if sub_path:
            path = self._find_sub_path(path, sub_path, volume)
        target = mount["mountPath"] if mount["mountPath"].startswith("/") else f"/{mount['mountPath']}"
        only_reads = has_files(volume) if disk is None else disk.is_read_only
        is_read_only = bool(mount.get("readOnly")) or only_reads
        return Mount(str(path), target.rstrip("/") or "/", is_read_only)

    def _find_sub_path(self, root: Path, sub_path: str, volume: Object) -> Path:
        path = (root / sub_path).resolve()
        if not path.is_relative_to(root.resolve()):
            raise ConfigProblem(f'subPath "{sub_path}" leads out of the volume "{volume["name"]}"')
        if not path.exists():
            if has_files(volume):
                raise ConfigProblem(
                    f'failed to prepare subPath for volumeMount "{volume["name"]}": no such file'
                )
            path.mkdir(parents=True)
        return path


def _mounts_of(spec: Object) -> Iterable[Object]:
    return spec.get("volumeMounts") or ()
