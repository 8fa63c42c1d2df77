"""What is in volumes, and how their files change."""

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcluster.kubelet.environment import Surroundings
from simcluster.kubelet.volume_files import write_files
from simcluster.kubelet.volumes import File, VolumeProblem, read_volume

POD = {
    "metadata": {"name": "p", "namespace": "d", "uid": "u", "labels": {"b": 'say "x"\n', "a": "1"}},
    "spec": {},
}
OBJECTS = {
    ("configmaps", "cfg"): {"data": {"a": "A"}, "binaryData": {"raw": base64.b64encode(b"\xff").decode()}},
    ("secrets", "s"): {"data": {"k": base64.b64encode(b"K").decode()}},
}
AROUND = Surroundings(
    "10.244.0.2", "172.18.0.2", lambda kind, name: OBJECTS.get((kind, name)), (), {"cpu": "4"}
)


def read(**volume: Any) -> dict[str, tuple[bytes, int]]:
    files = read_volume(POD, volume, AROUND, lambda audience, seconds: f"{audience}/{seconds}")
    return {path: (file.data, file.mode) for path, file in files.items()}


@pytest.mark.parametrize(
    ("volume", "files"),
    [
        ({"configMap": {"name": "cfg"}}, {"a": (b"A", 0o644), "raw": (b"\xff", 0o644)}),
        (
            {"configMap": {"name": "cfg", "defaultMode": 0o400, "items": [{"key": "a", "path": "x/y"}]}},
            {"x/y": (b"A", 0o400)},
        ),
        (
            {"configMap": {"name": "cfg", "optional": True, "items": [{"key": "none", "path": "x"}]}},
            {},
        ),
        ({"secret": {"secretName": "none", "optional": True}}, {}),
        ({"secret": {"secretName": "s"}}, {"k": (b"K", 0o644)}),
        (
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o440}]}},
            {"l": (b'a="1"\nb="say \\"x\\"\\n"', 0o440)},
        ),
        (
            {
                "projected": {
                    "sources": [
                        {"secret": {"name": "s"}},
                        {"configMap": {"name": "cfg", "items": [{"key": "a", "path": "k"}]}},
                        {"serviceAccountToken": {"path": "token", "audience": "vault"}},
                    ]
                }
            },
            {"k": (b"A", 0o644), "token": (b"vault/3600", 0o644)},
        ),
    ],
    ids=["whole", "items", "optional key", "optional secret", "secret", "labels", "projected, the last wins"],
)  # fmt: skip
def test_files_of_a_volume(volume: dict[str, Any], files: dict[str, tuple[bytes, int]]) -> None:
    """Paths, bytes and modes."""
    assert read(**volume) == files


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        ({"secret": {"secretName": "s", "items": [{"key": "x", "path": "x"}]}},
         "references non-existent secret key: x"),
        ({"configMap": {"name": "cfg", "items": [{"key": "a", "path": "../../etc/passwd"}]}},
         '"../../etc/passwd" is no path within a volume'),
        ({"configMap": {"name": "cfg", "items": [{"key": "a", "path": "/etc/passwd"}]}},
         '"/etc/passwd" is no path within a volume'),
        ({"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "spec.x"}}]}},
         "failed to fetch field path spec.x: unsupported fieldPath: spec.x"),
    ],
    ids=["configmap", "secret", "key", "upwards", "absolute", "field"],
)  # fmt: skip
def test_volume_that_can_not_be_had(volume: dict[str, Any], text: str) -> None:
    """The kubelet's words."""
    with pytest.raises(VolumeProblem) as problem:
        read(**volume)
    assert str(problem.value) == text


CONTENTS = st.dictionaries(
    st.sampled_from(["a", "b", "deep/c", "deep/d"]), st.builds(File, st.binary(max_size=4), st.just(0o644))
)


@settings(deadline=None, max_examples=40)
@given(st.lists(CONTENTS, min_size=1, max_size=5))
def test_directory_holds_the_last_content_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, versions: list[dict[str, File]]
) -> None:
    """Through any history: what users see is the last version; nothing of those before is left; a write that changes
    nothing says so.
    """
    directory = tmp_path_factory.mktemp("volume")
    for number, files in enumerate(versions):
        write_files(directory, files, 1000.0 + number)
    seen = {
        str(path.relative_to(directory)): path.read_bytes()
        for name in directory.iterdir() if not name.name.startswith("..")
        for path in ([name] if name.is_file() else name.rglob("*"))
    }  # fmt: skip
    assert seen == {path: file.data for path, file in versions[-1].items()}
    assert len([each for each in directory.glob("..1*") if each.is_dir()]) == 1
    assert not write_files(directory, versions[-1], 2000.0)


def test_readers_never_see_half_of_a_change(tmp_path: Path) -> None:
    """The link that all names go through is replaced in one step, by another version."""
    write_files(tmp_path, {"a": File(b"1", 0o644), "b": File(b"1", 0o644)}, 1.0)
    before = (tmp_path / "..data").readlink()
    held = (tmp_path / "..data").resolve()
    write_files(tmp_path, {"a": File(b"2", 0o644), "b": File(b"2", 0o644)}, 2.0)
    assert (tmp_path / "a").readlink() == Path("..data/a")
    assert (tmp_path / "..data").readlink() != before
    assert not held.exists()
