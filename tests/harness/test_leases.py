"""The ledger of a run: what a killed run has left is removed by the next one, and nobody else's things are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.clusters.existing import remove_namespace
from harness.clusters.kind import remove_cluster
from harness.clusters.leases import (
    FOLDER,
    KIND_CLUSTER,
    NAMESPACE,
    Thing,
    folder,
    open_lease,
    remove_folder,
    sweep,
)
from harness.errors import ClusterError

OWNER = """
import sys, time
from harness.clusters.leases import folder, open_lease
lease = open_lease(folder())
print(lease.folder(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(python: str, state: Path) -> subprocess.Popen[str]:
    """Another run, alive, with a folder of its own."""
    return subprocess.Popen([python, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def made_by(owner: subprocess.Popen[str]) -> Path:
    """The folder that the other run has made."""
    assert owner.stdout is not None
    return Path(owner.stdout.readline().strip())


def test_a_run_that_was_killed(owner: subprocess.Popen[str], state: Path) -> None:
    """After `kill -9` the next sweep removes the run's folder and its ledger, and says so."""
    path = made_by(owner)
    assert path.is_dir()
    owner.send_signal(signal.SIGKILL)
    owner.wait()

    said = list(sweep(folder(), {FOLDER: remove_folder}))

    assert [f"removed folder {path}, left by a run that was killed"] == said
    assert not path.exists()
    assert list(state.iterdir()) == []


def test_a_run_that_lives(owner: subprocess.Popen[str], state: Path) -> None:
    """The things of a living run are not touched."""
    path = made_by(owner)
    try:
        assert list(sweep(folder(), {FOLDER: remove_folder})) == []
        assert path.is_dir()
    finally:
        owner.kill()
        owner.wait()
        list(sweep(folder(), {FOLDER: remove_folder}))


def test_a_run_that_ends_well(state: Path) -> None:
    """It leaves neither a folder nor a ledger."""
    lease = open_lease(folder())
    path = lease.folder()
    assert path.stat().st_mode & 0o777 == 0o700

    lease.close()

    assert not path.exists()
    assert list(state.iterdir()) == []


def test_a_run_that_is_kept(state: Path) -> None:
    """What was kept on purpose is removed by nobody."""
    lease = open_lease(folder())
    path = lease.folder()

    lease.close(is_kept=True)

    assert path.is_dir()
    assert list(sweep(folder(), {FOLDER: remove_folder})) == []
    path.rmdir()


def test_what_can_not_be_removed_stays_in_the_ledger(state: Path) -> None:
    """It is said, and the next run tries again."""
    lease = open_lease(folder())
    lease.add(Thing(KIND_CLUSTER, lease.prefix))
    os.close(lease._descriptor)

    def fail(thing: Thing, run: str) -> None:
        raise ClusterError("no Docker")

    for _ in range(2):
        said = list(sweep(folder(), {KIND_CLUSTER: fail}))
        assert [
            f"could not remove kind-cluster {lease.prefix}, left by a run that was killed: no Docker"
        ] == said
    assert [f"removed kind-cluster {lease.prefix}, left by a run that was killed"] == list(
        sweep(folder(), {KIND_CLUSTER: lambda thing, run: None})
    )


def test_things_are_removed_last_made_first(state: Path) -> None:
    """As they were built upon each other."""
    lease = open_lease(folder())
    for name in ("first", "second"):
        lease.add(Thing(NAMESPACE, name))
    os.close(lease._descriptor)
    seen: list[str] = []

    list(sweep(folder(), {NAMESPACE: lambda thing, run: seen.append(thing.name)}))

    assert seen == ["second", "first"]


def test_a_ledger_that_was_cut_off(state: Path) -> None:
    """A run that was killed before its first line had made nothing."""
    state.mkdir(parents=True)
    (state / "0123abcd.json").write_text("{", encoding="utf-8")

    assert list(sweep(folder(), {})) == []
    assert list(state.iterdir()) == []


def test_files_that_are_no_ledgers(state: Path) -> None:
    """Only names of our form are read."""
    state.mkdir(parents=True)
    (state / "notes.json").write_text("{}", encoding="utf-8")

    assert list(sweep(folder(), {})) == []
    assert [path.name for path in state.iterdir()] == ["notes.json"]


@pytest.mark.parametrize("name", ["/", "/home", "/tmp/other", "/tmp/kube-grpc-ffffffff-1/../x"])
def test_a_ledger_that_points_at_somebody_elses_folder(name: str) -> None:
    """Only temporary folders of that very run are removed."""
    with pytest.raises(ClusterError, match=r"is not a folder of run 0123abcd$"):
        remove_folder(Thing(FOLDER, name), "0123abcd")


def test_a_ledger_that_points_at_somebody_elses_cluster() -> None:
    """Only the kind cluster of that very run is deleted."""
    with pytest.raises(
        ClusterError, match=r"^kind cluster prod was not made by run 0123abcd; it is left alone$"
    ):
        remove_cluster(Thing(KIND_CLUSTER, "prod"), "0123abcd")


def test_a_namespace_on_a_cluster_that_is_not_named() -> None:
    """Without a kubeconfig it is not guessed which cluster was meant."""
    with pytest.raises(ClusterError, match=r"^the ledger does not say on which cluster$"):
        remove_namespace(Thing(NAMESPACE, "x"), "0123abcd")


def test_a_state_folder_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what it is for and how to move it."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    with pytest.raises(ClusterError) as refused:
        open_lease(folder())

    assert str(refused.value) == (
        f"{tmp_path}/file/kube-grpc/leases: can not be written: Not a directory\n"
        "  a run writes down there what it makes; set XDG_STATE_HOME to a folder that can be written"
    )


def test_a_ledger_names_its_owner(state: Path) -> None:
    """For a person who looks into it."""
    lease = open_lease(folder())
    lease.add(Thing(FOLDER, f"{tempfile.gettempdir()}/{lease.prefix}-1"))

    found = json.loads((state / f"{lease.run}.json").read_text(encoding="utf-8"))

    assert os.getpid() == found["pid"]
    assert [thing["kind"] for thing in found["things"]] == [FOLDER]
    lease.close()
