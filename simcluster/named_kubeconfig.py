"""A kubeconfig file that a person names: which simulated cluster it is of.

The rules it keeps: a file that is not a simulated cluster's, or that of one that runs, is never written over, since it
may be the only way to that cluster; what a cluster has written goes with it, unless another one has written there
since.
"""

from __future__ import annotations

from pathlib import Path

from simcluster.directory import is_owned

_EXTENSION = "simcluster"


def read_folder(path: Path) -> Path | None:
    """The folder of the cluster that a kubeconfig is of; None if it is no simulated one's. OSError."""
    import yaml

    try:
        for each in yaml.safe_load(path.read_text())["clusters"]:
            for extension in each["cluster"].get("extensions") or ():
                if extension["name"] == _EXTENSION:
                    return Path(extension["extension"]["folder"])
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError, AttributeError):
        return None  # whatever it is, it is not one of ours
    return None


def check_place(path: Path) -> None:
    """ValueError if a kubeconfig can not be written there without a loss."""
    if path.is_dir() or not path.parent.is_dir():
        what = f"{path} is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ValueError(f"--kubeconfig: {what}\n  give the path of a file to be written")
    folder = read_folder(path) if path.exists() and path.stat().st_size else path
    if folder is None:
        raise ValueError(
            f"--kubeconfig: {path} is there already, and is not a simulated cluster's; it is left as it is\n"
            "  name a file of its own, and set KUBECONFIG to it"
        )
    if is_owned(folder):
        raise ValueError(
            f"--kubeconfig: {path} is of a simulated cluster that runs, in {folder}; it is left as it is\n"
            "  stop that cluster, or name another file"
        )


def remove(path: Path, folder: Path) -> None:
    """Remove the kubeconfig of the cluster in this folder, if it still is that."""
    if path.is_file() and read_folder(path) == folder:
        path.unlink()
