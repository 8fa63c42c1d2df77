"""Data that outlives its pod: paths of a node, and claims, in real pods."""

import errno
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from kubelets import NODE, Node, state_of
from test_pod_volumes import mount, on_node, outcome, shell

from simcluster.node_files import NodeFiles, OutsideError

Object = dict[str, Any]


def within(*names: str) -> Object:
    """The affinity of a volume that only nodes of these names reach."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": list(names)}]}
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}


def host_path(path: str, kind: str = "") -> list[Object]:
    return [{"name": "v", "hostPath": {"path": path, "type": kind}}]


def claimed(name: str = "c", **rest: Any) -> list[Object]:
    return [{"name": "v", "persistentVolumeClaim": {"claimName": name} | rest}]


def bind(node: Node, source: Object, *, phase: str = "Bound", **spec: Any) -> None:
    """A claim `c` and its volume `pv`, as the controllers leave them."""
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    asked = {"resources": {"requests": {"storage": "1Mi"}}, "volumeName": "pv"}
    body = {"metadata": {"name": "c"}, "spec": common | asked}
    claim = node.registry.create("persistentvolumeclaims", "default", body)
    reference = {"namespace": "default", "name": "c", "uid": claim["metadata"]["uid"]}
    volume = {"capacity": {"storage": "1Mi"}, "claimRef": reference}
    body = {"metadata": {"name": "pv"}, "spec": common | volume | source | spec}
    node.registry.create("persistentvolumes", None, body)
    written = deepcopy(claim) | {"status": {"phase": phase}}
    node.registry.update("persistentvolumeclaims", "default", "c", written, subresource="status")


def files_of(node: Node) -> Path:
    return node.directory.with_name("nodes") / NODE


def test_what_a_pod_leaves_on_its_node_is_there_for_the_next(tmp_path: Path) -> None:
    """A hostPath is the node's, whichever pod mounts it, and this machine has no such path."""

    async def scenario(node: Node) -> str:
        for name, script in (("first", "echo one > /data/x"), ("second", "cat /data/x")):
            once = {"restartPolicy": "Never", "volumes": host_path("/srv/simcluster-test")}
            node.create(name, **shell(script, mount("v", "/data")), **once)
            text = await outcome(node, name)
        return text

    assert on_node(tmp_path, scenario) == "one\n"
    assert not Path("/srv/simcluster-test").exists()


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("/none", "Directory", "hostPath type check failed: /none is not a directory"),
        ("/none", "File", "hostPath type check failed: /none is not a file"),
        ("/a-file", "Directory", "hostPath type check failed: /a-file is not a directory"),
        ("/a-file", "DirectoryOrCreate", "hostPath type check failed: /a-file is not a directory"),
        ("/a-file", "Socket", "hostPath type check failed: /a-file is not a socket file"),
        ("/a-file", "CharDevice", "hostPath type check failed: /a-file is not a character device"),
        ("/a-file", "BlockDevice", "hostPath type check failed: /a-file is not a block device"),
        ("/no/such/file", "FileOrCreate", "open /no/such/file: no such file or directory"),
        ("/a-file/x", "DirectoryOrCreate", f"/a-file/x: {os.strerror(errno.ENOTDIR)}"),
        ("/out/etc", "", "/out/etc leads out of the node's file system"),
    ],
)
def test_a_path_that_is_not_what_it_says(path: str, kind: str, text: str, tmp_path: Path) -> None:
    """The pod waits; an event says what the path is not."""

    async def scenario(node: Node) -> list[str]:
        files_of(node).mkdir(parents=True)
        (files_of(node) / "a-file").touch()
        (files_of(node) / "out").symlink_to("/")
        node.create(**shell("true", mount("v", "/v")), volumes=host_path(path, kind))
        await node.until(lambda pod: state_of(pod).get("waiting"))
        return node.events("FailedMount")

    assert on_node(tmp_path, scenario)[0] == f'MountVolume.SetUp failed for volume "v" : {text}'


@pytest.mark.parametrize("kind", ["", "DirectoryOrCreate", "FileOrCreate"])
def test_a_path_that_is_made(kind: str, tmp_path: Path) -> None:
    """What may be made is made on the node: a directory, or an empty file in a directory that is there."""

    async def scenario(node: Node) -> str:
        files_of(node).mkdir(parents=True)
        script = "test -d /v && echo directory; test -f /v && echo file"
        node.create(**shell(script, mount("v", "/v")), volumes=host_path("/new", kind), restartPolicy="Never")
        return await outcome(node)

    assert on_node(tmp_path, scenario) == ("file\n" if kind == "FileOrCreate" else "directory\n")


def test_a_path_that_comes_later(tmp_path: Path) -> None:
    """A pod that waits for a path of its node starts when it is there."""

    async def scenario(node: Node) -> str:
        volumes = host_path("/later", "Directory")
        node.create(**shell("echo up", mount("v", "/v")), volumes=volumes, restartPolicy="Never")
        await node.until(lambda pod: state_of(pod).get("waiting"))
        (files_of(node) / "later").mkdir(parents=True)
        return await outcome(node)

    assert on_node(tmp_path, scenario) == "up\n"


@pytest.mark.parametrize("source", [{"hostPath": {"path": "/disk"}}, {"local": {"path": "/disk"}}])
def test_a_claim_is_the_folder_of_its_volume(source: Object, tmp_path: Path) -> None:
    """What one pod writes into its claim, another reads, from a folder within, read-only where it asks for that."""

    async def scenario(node: Node) -> str:
        (files_of(node) / "disk").mkdir(parents=True)
        bind(node, source, **(within(NODE) if "local" in source else {}))
        once = {"restartPolicy": "Never"}
        deep = mount("v", "/data", subPath="a")
        node.create("first", **shell("echo one > /data/x", deep), volumes=claimed(), **once)
        await outcome(node, "first")
        script = "cat /data/a/x; echo two 2>&1 > /data/a/x"
        node.create("second", **shell(script, mount("v", "/data")), volumes=claimed(readOnly=True), **once)
        return await outcome(node, "second")

    text = on_node(tmp_path, scenario)
    assert text.startswith("one\n")
    assert "Read-only file system" in text


PATH = {"hostPath": {"path": "/x"}}
_UNABLE = (
    "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: "
    "error processing PVC default/c: "
)


@pytest.mark.parametrize(
    ("phase", "source", "spec", "text"),
    [
        ("Pending", PATH, {}, f"{_UNABLE}PVC is not bound"),
        ("Lost", PATH, {}, f"{_UNABLE}PVC is not bound"),
        (
            "Bound",
            {"local": {"path": "/x"}},
            within(NODE),
            'NewMounter initialization failed for volume "pv" : path "/x" does not exist',
        ),
        (
            "Bound",
            PATH,
            within("elsewhere"),
            'NodeAffinity check failed for volume "pv" : no matching NodeSelectorTerms',
        ),
        (
            "Bound",
            {"nfs": {"server": "x", "path": "/x"}},
            {},
            'SetUp failed for volume "pv" : nfs: this cluster has no such storage',
        ),
        ("", {}, {}, f'{_UNABLE}failed to fetch PVC from API server: persistentvolumeclaims "c" not found'),
    ],
    ids=["pending", "lost", "no folder", "out of reach", "no disk", "no claim"],
)
def test_a_claim_that_can_not_be_mounted(
    phase: str, source: Object, spec: Object, text: str, tmp_path: Path
) -> None:
    """The pod waits, whoever put it on the node, and an event says why."""

    async def scenario(node: Node) -> list[str]:
        if phase:
            bind(node, source, phase=phase, **spec)
        node.create(**shell("true", mount("v", "/v")), volumes=claimed())
        await node.until(lambda pod: state_of(pod).get("waiting"))
        return node.events("FailedMount")

    assert text in on_node(tmp_path, scenario)[0]


def test_a_node_s_files_are_within_its_folder(tmp_path: Path) -> None:
    """A folder is made, found and removed below the node's own; a link that leads out is refused and left alone."""
    files = NodeFiles(tmp_path / "nodes")
    made = files.make("a", "/var/x")
    assert (made, made.stat().st_mode & 0o777) == (tmp_path / "nodes" / "a" / "var" / "x", 0o777)
    kept = tmp_path / "kept"
    kept.mkdir()
    (made.parent / "link").symlink_to(kept)
    with pytest.raises(OutsideError, match="/var/link leads out of the node's file system"):
        files.remove("a", "/var/link")
    files.remove("a", "/var/x")
    assert not made.exists()
    files.remove("a", "/var/x")
    files.clear()
    assert (kept.exists(), files.root.exists()) == (True, False)
