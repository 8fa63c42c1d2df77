"""The file systems of the nodes: a folder each, for what is on a node and outlives its pods.

The rule it keeps: a path of a node is a path within that folder, whatever links lie on the way; nothing of this
machine is reached by a path in a manifest, and all of it goes with the cluster.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

# The folder of a cluster's nodes, beside that of its pods.
NODES = "nodes"
_OPEN = 0o777


class OutsideError(ValueError):
    """A path that leads out of its node."""


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """All nodes' files, below `root`; a node's folder is made with the first file in it."""

    root: Path

    def locate(self, node: str, path: str) -> Path:
        """Where a node's absolute path is on this machine; OutsideError if links on the way leave the node."""
        top = self.root / node
        found = top / path.lstrip("/")
        if not found.resolve().is_relative_to(top.resolve()):
            raise OutsideError(f"{path} leads out of the node's file system")
        return found

    def make(self, node: str, path: str) -> Path:
        """A folder on a node that everybody may write to."""
        found = self.locate(node, path)
        found.mkdir(parents=True, exist_ok=True)
        found.chmod(_OPEN)
        return found

    def remove(self, node: str, path: str) -> None:
        """Remove a folder of a node, with all that is in it; nothing happens if it is not there."""
        shutil.rmtree(self.locate(node, path), ignore_errors=True)

    def clear(self) -> None:
        """Remove what all nodes have."""
        shutil.rmtree(self.root, ignore_errors=True)
