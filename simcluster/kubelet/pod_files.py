"""The folder of one pod: its working directory, its temporary files, its logs, its way to the API.

The rules it keeps: nothing in it is readable by others; a token is readable by its owner alone from its first
byte; at most the logs of two instances of a container are kept, the current and the one before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simcluster.apiserver.kubeconfigs import Endpoint, write_pod_kubeconfig
from simcluster.kubelet.logs import ContainerLog

Object = dict[str, Any]
# Of a termination message, from its file and from the log (pkg/kubelet/container/runtime.go).
_MESSAGE_BYTES, _LOG_BYTES, _LOG_LINES = 4096, 2048, 80


class PodFiles:
    """Made when the pod starts, removed when it is gone."""

    def __init__(self, directory: Path, pod: Object) -> None:
        metadata = pod["metadata"]
        self._root = directory / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"
        self.cwd = self._root / "work"
        self.temporary = self._root / "tmp"
        self.volumes = self._root / "volumes"
        self.stage = self._root / "stage"  # where mount points are put together
        self.kubeconfig = self._root / "kubeconfig"
        self._logs: dict[str, list[ContainerLog]] = {}

    def create(self) -> None:
        """Make the folders."""
        self._root.mkdir(mode=0o700)
        self.cwd.mkdir()
        self.temporary.mkdir()
        self.stage.mkdir()

    def remove(self) -> None:
        """Remove all of it; logs that are being read stay readable to who reads them."""
        for log in (log for logs in self._logs.values() for log in logs):
            log.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def write(self, name: str, text: str) -> str:
        """Write a file of the pod's own, in place if it is there: what is mounted is the file, not its name."""
        path = self._root / name
        path.write_text(text)
        return str(path)

    def open_message(self, container: str) -> str:
        """An empty file for what the container's next instance has to say when it ends."""
        return self.write(f"{container}.termination", "")

    def read_message(self, container: str, *, fall_back: bool) -> str:
        """What the container's last instance had to say; with `fall_back`, if that is nothing, the end of its log."""
        path = self._root / f"{container}.termination"
        said = path.read_bytes()[-_MESSAGE_BYTES:] if path.exists() else b""
        log = self.find_log(container, previous=False)
        if not said and fall_back and log is not None:
            said = log.tail(_LOG_LINES)[-_LOG_BYTES:]
        return said.decode(errors="replace")

    def write_access(self, endpoint: Endpoint, token: str, namespace: str) -> None:
        """Write the service account's token and a kubeconfig that reads it."""
        path = self._root / "token"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)
        write_pod_kubeconfig(self.kubeconfig, endpoint, token_file=path, namespace=namespace)

    def open_log(self, container: str, instance: int, clock: Callable[[], float]) -> ContainerLog:
        """A new log for the container's next instance; the one before the last is removed."""
        log = ContainerLog(self._root / f"{container}.{instance}.log", clock)
        logs = self._logs.setdefault(container, [])
        logs.append(log)
        if len(logs) > 2:
            oldest = logs.pop(0)
            oldest.close()
            oldest.path.unlink()
        return log

    def find_log(self, container: str, *, previous: bool) -> ContainerLog | None:
        """The log of the container's newest instance, or of the one before it; None if there was none."""
        logs = self._logs.get(container, [])
        wanted = 2 if previous else 1
        return logs[-wanted] if len(logs) >= wanted else None
