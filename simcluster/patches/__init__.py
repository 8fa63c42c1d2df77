"""The patch formats of the API as pure functions: (object, patch) to a new object, sharing nothing to be mutated."""

from simcluster.patches.json_patch import apply_json_patch
from simcluster.patches.merge import apply_merge_patch
from simcluster.patches.strategic import apply_strategic_patch

__all__ = ["apply_json_patch", "apply_merge_patch", "apply_strategic_patch"]
