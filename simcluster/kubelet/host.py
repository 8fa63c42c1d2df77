"""What all pods of one node share: the registry, the network, the images, the way to the API."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcluster.apiserver.kubeconfigs import Endpoint
from simcluster.controllers.events import Recorder
from simcluster.controllers.informers import Informers
from simcluster.controllers.workqueue import CallLater
from simcluster.faults.race import Race
from simcluster.kubelet.frost import Frost
from simcluster.kubelet.images import Images
from simcluster.kubelet.spawner import Spawner
from simcluster.network.driver import Network, Place
from simcluster.node_files import NODES, NodeFiles
from simcluster.profile import Profile
from simcluster.registry import Registry
from simcluster.tokens import TokenIssuer

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One node. `version` is the kubelet's, `v1.36.3`; `api` is where pods find the API server (host,
    port).
    """

    node: str
    version: str
    registry: Registry
    informers: Informers
    profile: Profile
    rng: random.Random
    clock: Callable[[], float]
    call_later: CallLater
    recorder: Recorder
    spawner: Spawner
    network: Network
    place: Place
    images: Images
    directory: Path
    endpoint: Endpoint
    api: tuple[str, int]
    tokens: TokenIssuer
    capacity: Mapping[str, str] = field(default_factory=dict)
    frost: Frost = field(default_factory=Frost)
    race: Race = field(default_factory=Race)
    is_control_plane: bool = True
    is_status_only: bool = False  # no pod of the node has a process
    is_repelling: bool = False  # only pods that tolerate it are scheduled there
    is_registered: bool = False  # the node's object is there already
    import_roots: Sequence[str] = ()  # where the modules of images are, beside the interpreter's own places

    @property
    def files(self) -> NodeFiles:
        """What is on the nodes beside their pods."""
        return NodeFiles(self.directory.with_name(NODES))

    def environment(self, *, home: Path, temporary: Path, hostname: str) -> dict[str, str]:
        """What a pod's processes have without asking for it."""
        # `python` in a shell is this interpreter, too.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        found = {
            "PATH": path,
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            "HOSTNAME": hostname,
            "KUBERNETES_SERVICE_HOST": self.api[0],
            "KUBERNETES_SERVICE_PORT": str(self.api[1]),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(self.api[1]),
        }
        if self.import_roots and self.images.has_python():
            found["PYTHONPATH"] = os.pathsep.join(self.import_roots)
        return found | dict(self.network.environment)
