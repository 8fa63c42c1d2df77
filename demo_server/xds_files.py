"""The folder that Envoy watches.

The rule it keeps: a file changes by rename only, so Envoy never reads half of one; what is referred to is
written before what refers to it; files that nothing refers to any more go last. A file with the same content
is not touched. Files are readable by their owner alone, because some hold private keys.
"""

import os
from collections.abc import Mapping
from pathlib import Path

PATTERNS = ("eds-*.json", "sds-*.json")


class XdsFiles:
    """Knows what stands in `directory`, which exists and is this process's own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: dict[str, str] = {}

    def replace(self, files: Mapping[str, str]) -> tuple[str, ...]:
        """Make the folder hold exactly these files, written in this order; returns what changed or went."""
        changed = [name for name, content in files.items() if self._written.get(name) != content]
        for name in changed:
            self._write(name, files[name])
        stale = self._stale(files)
        for path in stale:
            path.unlink()
            self._written.pop(path.name, None)
        return (*changed, *(path.name for path in stale))

    def _write(self, name: str, content: str) -> None:
        partial = self._directory / f".{name}.new"
        # Removed first: O_EXCL below makes sure that the file has our mode and is nobody's link.
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        partial.replace(self._directory / name)
        self._written[name] = content

    def _stale(self, files: Mapping[str, str]) -> list[Path]:
        found = (path for pattern in PATTERNS for path in self._directory.glob(pattern))
        return sorted(path for path in found if path.name not in files)
